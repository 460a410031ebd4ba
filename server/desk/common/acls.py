"""The rights (ACLs) of desk users and tokens, and the roles that bundle them, with SkyPortal's names."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ACLS", "ANNOTATE", "CLASSIFY", "COMMENT", "LISTENERS", "MANAGE_ANALYSIS_SERVICES",
           "MANAGE_PLANS", "MANAGE_USERS", "POST_TAXONOMY", "ROLES", "RUN_ANALYSES", "SYSTEM_ADMIN",
           "UPLOAD_DATA", "of_roles"]

SYSTEM_ADMIN = "System admin"
UPLOAD_DATA = "Upload data"
RUN_ANALYSES = "Run Analyses"
MANAGE_ANALYSIS_SERVICES = "Manage Analysis Services"
CLASSIFY = "Classify"
ANNOTATE = "Annotate"
COMMENT = "Comment"
POST_TAXONOMY = "Post taxonomy"
MANAGE_USERS = "Manage users"
MANAGE_PLANS = "Manage observation plans"

LISTENERS = ("SEDMListener", "GenericListener", "GridScanListener")
"""Who reports on requests for a facility: `listener_classname` of instruments; each has a right to do so."""

_FULL = (ANNOTATE, COMMENT, UPLOAD_DATA, CLASSIFY, RUN_ANALYSES, "Manage observing runs")
_ADMIN = ("Manage shifts", "Manage sources", MANAGE_ANALYSIS_SERVICES, "Manage Recurring APIs",
          "Manage GCNs", MANAGE_PLANS, POST_TAXONOMY, MANAGE_USERS)
_SUPER = (SYSTEM_ADMIN, "Manage groups", "Manage allocations", "Become user", "Delete taxonomy",
          *(f"Post from {name}" for name in LISTENERS))

ROLES: dict[str, frozenset[str]] = {
    "View only": frozenset(),
    "Full user": frozenset(_FULL),
    "Group admin": frozenset(_FULL + _ADMIN),
    "Super admin": frozenset(_FULL + _ADMIN + _SUPER),
}
"""What each role of the desk allows."""

ACLS: frozenset[str] = ROLES["Super admin"]
"""All rights there are."""

_OF_CLAIM = {"admin": "Super admin", "system": "Super admin", "user": "Full user", "client": "Full user"}


def of_roles(names: Iterable[str]) -> frozenset[str]:
    """The rights of some roles, be they the desk's own or those that the installation's tokens carry.

    An unknown name gives nothing.
    """
    found = [ROLES.get(_OF_CLAIM.get(name, name), frozenset()) for name in names]
    return frozenset().union(*found)
