// Directions on the sky: HEALPix pixels (Górski et al. 2005, ApJ 622, 759) and two projections.
// Angles are radians, right ascension grows to the left, as one sees the sky.

/** The nested pixel of a direction: z = sin(dec), phi = right ascension; nside up to 2^15. */
export function pixelAt(nside, z, phi) {
  const quarter = ((phi / (Math.PI / 2)) % 4 + 4) % 4;
  const height = Math.abs(z);
  let face, x, y;
  if (height <= 2 / 3) {  // the equatorial belt: pixels between rising and falling lines
    const falling = Math.floor(nside * (0.5 + quarter) - nside * z * 0.75);
    const rising = Math.floor(nside * (0.5 + quarter) + nside * z * 0.75);
    const f = Math.floor(falling / nside), r = Math.floor(rising / nside);
    face = f === r ? (f & 3) + 4 : f < r ? f & 3 : (r & 3) + 8;
    x = rising & (nside - 1);
    y = nside - 1 - (falling & (nside - 1));
  } else {  // a polar cap
    const part = Math.min(3, Math.floor(quarter)), rest = quarter - part;
    const size = nside * Math.sqrt(3 * (1 - height));
    const along = Math.min(nside - 1, Math.floor(rest * size));
    const back = Math.min(nside - 1, Math.floor((1 - rest) * size));
    [face, x, y] = z >= 0 ? [part, nside - 1 - back, nside - 1 - along] : [part + 8, along, back];
  }
  return face * nside * nside + spread(x) + 2 * spread(y);
}

/** A number's bits with zeros between them. */
function spread(bits) {
  bits = (bits | bits << 8) & 0x00ff00ff;
  bits = (bits | bits << 4) & 0x0f0f0f0f;
  bits = (bits | bits << 2) & 0x33333333;
  return (bits | bits << 1) & 0x55555555;
}

const ROOT2 = Math.SQRT2;

/** The whole sky in an ellipse (Mollweide), turned so that `ra` is in the middle. x in ±2, y in ±1. */
export class Mollweide {
  constructor(ra) { this.ra = ra; }

  /** The direction at a place, [z, phi]; null outside of the ellipse. */
  at(x, y) {
    if (x * x / 4 + y * y > 1) return null;
    const theta = Math.asin(y);
    const z = (2 * theta + Math.sin(2 * theta)) / Math.PI;
    return [z, this.ra - Math.PI / 2 * x / Math.max(1e-9, Math.cos(theta))];
  }

  /** The place of a direction. */
  place(ra, dec) {
    let theta = dec;
    for (let step = 0; step < 12 && Math.abs(dec) < 1.5707; step++) {  // Newton's method
      theta -= (2 * theta + Math.sin(2 * theta) - Math.PI * Math.sin(dec)) / (2 + 2 * Math.cos(2 * theta));
    }
    const around = wrapped(this.ra - ra);
    return [2 / Math.PI * around * Math.cos(theta), Math.sin(theta)];
  }
}

/** Surroundings of a direction (stereographic): x, y are radians near the middle. */
export class Surroundings {
  constructor(ra, dec) {
    this.ra = ra;
    this.dec = dec;
    this.sin = Math.sin(dec);
    this.cos = Math.cos(dec);
  }

  at(x, y) {
    const r = Math.hypot(x, y);
    const c = 2 * Math.atan(r / 2);
    const up = r ? y / r * Math.sin(c) : 0, left = r ? -x / r * Math.sin(c) : 0;
    const z = Math.cos(c) * this.sin + up * this.cos;
    return [Math.min(1, Math.max(-1, z)), this.ra + Math.atan2(left, Math.cos(c) * this.cos - up * this.sin)];
  }

  place(ra, dec) {
    const d = ra - this.ra;
    const cosine = this.sin * Math.sin(dec) + this.cos * Math.cos(dec) * Math.cos(d);
    if (cosine < -0.9) return null;  // behind us
    const scale = 2 / (1 + cosine);
    return [-scale * Math.cos(dec) * Math.sin(d),
            scale * (this.cos * Math.sin(dec) - this.sin * Math.cos(dec) * Math.cos(d))];
  }
}

/** An angle between -π and π. */
export function wrapped(angle) {
  return angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));
}

/** The values of a map, 2Δ ln L to its best pixel: pixels of several nsides, none over another. */
export class SkyMap {
  /** `levels`: [{nside, pixels: Uint32Array (nested), values: Float32Array}], coarse to fine. */
  constructor(levels) {
    this.levels = levels.filter((level) => level.pixels.length).reverse();
    this.finest = this.levels.length ? this.levels[0].nside : 1;
    this.tables = this.levels.map(({nside, pixels, values}) => {
      if (12 * nside * nside <= 1 << 21) {  // small enough for a table of the whole sky
        const table = new Float32Array(12 * nside * nside).fill(Infinity);
        pixels.forEach((pixel, place) => { table[pixel] = values[place]; });
        return {step: (this.finest / nside) ** 2, nside, get: (pixel) => table[pixel]};
      }
      const table = new Map();
      pixels.forEach((pixel, place) => table.set(pixel, values[place]));
      return {step: (this.finest / nside) ** 2, nside, get: (pixel) => table.get(pixel) ?? Infinity};
    });
    this.top = 1e-6;  // the largest value
    for (const {values} of this.levels) {
      for (const value of values) if (value > this.top) this.top = value;
    }
  }

  /** [2Δ ln L, nside] at a direction: [Infinity, 0] where nothing was scanned. */
  at(z, phi) {
    const pixel = pixelAt(this.finest, z, phi);
    for (const table of this.tables) {
      const value = table.get(table.step === 1 ? pixel : Math.floor(pixel / table.step));
      if (value !== Infinity) return [value, table.nside];
    }
    return [Infinity, 0];
  }
}

/** Reads the server's bytes: length of a JSON header, the header, then pixels and values of each level. */
export function readMap(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  let place = 4 + size;
  const levels = header.levels.map(({nside, count}) => {
    const pixels = new Uint32Array(buffer, place, count);
    const values = new Float32Array(buffer, place + 4 * count, count);
    place += 8 * count;
    return {nside, pixels, values};
  });
  return {...header, map: new SkyMap(levels)};
}
