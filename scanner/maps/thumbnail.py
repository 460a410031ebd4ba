"""A map as small as a stamp, for lists: the whole sky in its colours, with a ring around the best fit.

It costs some milliseconds and few kilobytes; what is not sky is transparent, so that it lies on any page.
"""

from __future__ import annotations

import io

import numpy as np
from matplotlib import colormaps
from matplotlib.image import imsave

from scanner.maps import mollweide
from scanner.maps.skymap import SkyMap

__all__ = ["HEIGHT", "WIDTH", "thumbnail"]

WIDTH, HEIGHT = 240, 120
_UNSCANNED, _RING, _RIM = (0xB0, 0xB0, 0xB8, 255), (0xE4, 0x00, 0x2B, 255), (255, 255, 255, 255)
_RADIUS, _THICK = 9.0, 1.6  # of the ring, in dots


def thumbnail(skymap: SkyMap) -> bytes:
    """The picture as PNG."""
    x, y = np.meshgrid((np.arange(WIDTH) + 0.5) / WIDTH * 2 - 1, 1 - (np.arange(HEIGHT) + 0.5) / HEIGHT * 2)
    ra, dec = mollweide.from_plane(x * mollweide.WIDTH, y * mollweide.HEIGHT)
    sky = np.isfinite(ra)
    picture = np.zeros((HEIGHT, WIDTH, 4), dtype=np.uint8)
    picture[sky] = _coloured(skymap, skymap.delta_at(ra[sky], dec[sky]))
    best = skymap.best_fit
    centre = mollweide.to_plane(best.ra_deg % 360.0, best.dec_deg)
    away = np.hypot(x * WIDTH / 2 - float(centre[0]) / mollweide.WIDTH * WIDTH / 2,
                    y * HEIGHT / 2 - float(centre[1]) / mollweide.HEIGHT * HEIGHT / 2)
    picture[np.abs(away - _RADIUS) < 2 * _THICK] = _RIM
    picture[np.abs(away - _RADIUS) < _THICK] = _RING
    file = io.BytesIO()
    imsave(file, picture, format="png")
    return file.getvalue()


def _coloured(skymap: SkyMap, delta: np.ndarray) -> np.ndarray:
    """Colours as the large picture has them: 2Δ ln L in the scale of an inverse hyperbolic sine."""
    top = max(float(skymap.delta.max()), 1.0)
    known = np.isfinite(delta)
    scaled = np.arcsinh(np.where(known, delta, 0.0) / (top / 30)) / np.arcsinh(30.0)
    colours = colormaps["viridis_r"](scaled, bytes=True)
    colours[~known] = _UNSCANNED
    return colours
