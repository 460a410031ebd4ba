"""The words that enumerated fields of the desk may hold, with SkyPortal's names and our own beside them."""

from __future__ import annotations

__all__ = ["ENUM_TYPES"]

_BANDPASSES = [
    "bessellux", "bessellb", "bessellv", "bessellr", "besselli", "sdssu", "sdssg", "sdssr", "sdssi", "sdssz",
    "desg", "desr", "desi", "desz", "desy", "ps1::g", "ps1::r", "ps1::i", "ps1::z", "ps1::y", "ps1::w",
    "ztfg", "ztfr", "ztfi", "atlasc", "atlaso", "lsstu", "lsstg", "lsstr", "lssti", "lsstz", "lssty",
    "gaia::g", "gaia::gbp", "gaia::grp", "gaia::grvs", "2massj", "2massh", "2massks",
    "uvot::b", "uvot::u", "uvot::uvm2", "uvot::uvw1", "uvot::uvw2", "uvot::v", "uvot::white", "swiftxrt"]

ENUM_TYPES: dict[str, list[str]] = {
    "ALLOWED_SPECTRUM_TYPES": ["source", "host", "host_center"],
    "ALLOWED_MAGSYSTEMS": ["ab", "bd17", "vega", "jla1", "ab-b12", "vega2", "csp"],
    "ALLOWED_BANDPASSES": _BANDPASSES,
    "THUMBNAIL_TYPES": ["new", "ref", "sub", "sdss", "dr8", "ls", "ps1", "new_gz", "ref_gz", "sub_gz"],
    "FOLLOWUP_PRIORITIES": ["1", "2", "3", "4", "5"],
    "ALLOWED_API_CLASSNAMES": ["GENERICAPI", "GRIDSCANAPI", "LOOPBACKAPI", "ZTFMMAAPI"],
    "ANALYSIS_TYPES": ["lightcurve_fitting", "spectrum_fitting", "meta_analysis", "localization",
                       "skymap_reconstruction"],
    "ANALYSIS_INPUT_TYPES": ["photometry", "spectra", "redshift", "annotations", "comments",
                             "classifications", "localization", "scan_result", "event", "catalogs"],
    "AUTHENTICATION_TYPES": ["none", "header_token", "api_key", "HTTPBasicAuth", "HTTPDigestAuth", "OAuth1"],
}
