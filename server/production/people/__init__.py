"""People: users, groups, logins, tokens, and the credentials they lend to tasks.

In: logins and requests of users and administrators. Out: tokens, rights of groups, sealed secrets.
"""

__all__ = ["credentials", "groups", "issuers", "login", "login_links", "naming", "sealing", "token_routes",
           "users"]
