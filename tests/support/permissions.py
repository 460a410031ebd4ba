"""Who may do what: the one table of the production API's permissions, written down apart from the routes.

A line has a method, a path, the right to the dataset in the path that a plain user needs (R to read it, W to
change it, - none), and the roles that get in.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PERMISSIONS", "Permission"]


@dataclass(frozen=True)
class Permission:
    """Who may call a method of a path."""

    method: str
    path: str
    right: str
    roles: frozenset[str]


_TABLE = """
GET    /datasets                                                            - admin client system user
POST   /datasets                                                            - admin system user
GET    /datasets/{dataset_id}                                               R admin client system pilot user
PUT    /datasets/{dataset_id}/status                                        W admin client system user
PUT    /datasets/{dataset_id}/description                                   W admin client system user
PUT    /datasets/{dataset_id}/priority                                      W admin client system user
PUT    /datasets/{dataset_id}/jobs_submitted                                W admin client system user
POST   /datasets/{dataset_id}/dataset_actions/hard_reset                    W admin client system user
POST   /datasets/{dataset_id}/dataset_actions/truncate                      W admin client system user
GET    /dataset_summaries/status                                            - admin client system user
POST   /jobs                                                                - admin client system
GET    /jobs/{job_id}                                                       - admin client system pilot
PATCH  /jobs/{job_id}                                                       - admin client system
GET    /datasets/{dataset_id}/jobs                                          R admin client system user
GET    /datasets/{dataset_id}/jobs/{job_id}                                 R admin client system user
PUT    /datasets/{dataset_id}/jobs/{job_id}/status                          W admin client system user
GET    /datasets/{dataset_id}/job_summaries/status                          R admin client system user
GET    /datasets/{dataset_id}/job_counts/status                             R admin client system user
GET    /tasks                                                               - admin client system
POST   /tasks                                                               - admin client system
GET    /task_ids/{beginning}                                                - admin client system user
GET    /tasks/{task_id}                                                     - admin client system pilot
PATCH  /tasks/{task_id}                                                     - admin client system
PUT    /tasks/{task_id}/status                                              - admin client system
GET    /task_counts/status                                                  - admin client system
GET    /datasets/{dataset_id}/tasks                                         R admin client system user
GET    /datasets/{dataset_id}/tasks/{task_id}                               R admin client system user
PUT    /datasets/{dataset_id}/tasks/{task_id}/status                        W admin client system user
GET    /datasets/{dataset_id}/task_summaries/status                         R admin client system user
GET    /datasets/{dataset_id}/task_counts/status                            R admin client system user
GET    /datasets/{dataset_id}/task_counts/name_status                       R admin client system user
POST   /task_actions/queue                                                  - admin client system
POST   /task_actions/process                                                - admin client system pilot
POST   /task_actions/queue_many                                             - admin client system pilot
POST   /task_actions/waiting                                                - admin client system
POST   /task_actions/access                                                 - admin client system pilot
POST   /task_actions/report_many                                            - admin client system pilot
POST   /tasks/{task_id}/task_actions/processing                             - admin client system pilot
POST   /tasks/{task_id}/task_actions/complete                               - admin client system pilot
POST   /tasks/{task_id}/task_actions/reset                                  - admin client system pilot
POST   /tasks/{task_id}/task_actions/failed                                 - admin client system pilot
POST   /tasks/{task_id}/task_actions/evict                                  - admin client system pilot
POST   /task_actions/bulk_status/{status}                                   - admin client system
POST   /datasets/{dataset_id}/task_actions/bulk_status/{status}             W admin client system user
POST   /datasets/{dataset_id}/task_actions/bulk_suspend                     W admin client system user
POST   /datasets/{dataset_id}/task_actions/bulk_reset                       W admin client system user
POST   /datasets/{dataset_id}/task_actions/bulk_hard_reset                  W admin client system user
POST   /datasets/{dataset_id}/task_actions/bulk_requirements/{name}         W admin client system user
PATCH  /datasets/{dataset_id}/task_actions/bulk_requirements/{name}         W admin client system user
POST   /datasets/{dataset_id}/job_actions/bulk_status/{status}              W admin client system user
POST   /datasets/{dataset_id}/job_actions/bulk_suspend                      W admin client system user
POST   /datasets/{dataset_id}/job_actions/bulk_reset                        W admin client system user
POST   /datasets/{dataset_id}/job_actions/bulk_hard_reset                   W admin client system user
POST   /config/validate                                                     - admin client system user
GET    /config/schema/{version}                                             - everybody
GET    /config/{dataset_id}                                                 R admin client system pilot user
PUT    /config/{dataset_id}                                                 W admin client system user
GET    /datasets/{dataset_id}/files                                         R admin client system user
POST   /datasets/{dataset_id}/files                                         W admin client system user
GET    /datasets/{dataset_id}/files/{task_id}                               R admin client system pilot user
POST   /datasets/{dataset_id}/files/{task_id}                               W admin client system user
DELETE /datasets/{dataset_id}/files/{task_id}                               W admin client system user
POST   /tasks/{task_id}/task_stats                                          - admin client system pilot
GET    /datasets/{dataset_id}/tasks/{task_id}/task_stats                    R admin client system user
GET    /datasets/{dataset_id}/tasks/{task_id}/task_stats/{task_stat_id}     R admin client system user
GET    /datasets/{dataset_id}/task_stats                                    R admin client system user
GET    /datasets/{dataset_id}/bulk/task_stats                               R admin client system user
GET    /datasets/{dataset_id}/log_errors                                    R admin client system user
GET    /datasets/{dataset_id}/log_search                                    R admin client system user
GET    /logs                                                                - admin client system
POST   /logs                                                                - admin client system pilot
GET    /logs/{log_id}                                                       - admin client system pilot
DELETE /logs/{log_id}                                                       - admin client system
POST   /datasets/{dataset_id}/logs                                          W admin client system pilot user
DELETE /datasets/{dataset_id}/logs                                          W admin client system user
GET    /datasets/{dataset_id}/logs/{log_id}                                 R admin client system user
DELETE /datasets/{dataset_id}/logs/{log_id}                                 W admin client system user
GET    /datasets/{dataset_id}/tasks/{task_id}/logs                          R admin client system user
DELETE /datasets/{dataset_id}/tasks/{task_id}/logs                          W admin client system user
GET    /datasets/{dataset_id}/tasks/{task_id}/log_tail                      R admin client system user
GET    /site_tests                                                          - admin client system
GET    /grids                                                               - admin client system
POST   /grids                                                               - admin client system
GET    /grids/{grid_id}                                                     - admin client system
PATCH  /grids/{grid_id}                                                     - admin client system
PUT    /grids/{grid_id}/control                                             - admin
GET    /pilots                                                              - admin client system
POST   /pilots                                                              - admin client system pilot
GET    /pilots/{pilot_id}                                                   - admin client system pilot
PATCH  /pilots/{pilot_id}                                                   - admin client system pilot
DELETE /pilots/{pilot_id}                                                   - admin client system pilot
POST   /pilots/{pilot_id}/heartbeat                                         - admin client system pilot
POST   /pilots/{pilot_id}/exchange                                          - admin client system pilot
POST   /pilots/{pilot_id}/end                                               - admin client system
GET    /roles                                                               - admin
GET    /roles/{name}                                                        - admin
PUT    /roles/{name}                                                        - admin
DELETE /roles/{name}                                                        - admin
GET    /groups                                                              - admin client system
POST   /groups                                                              - admin
GET    /groups/{name}                                                       - admin client system
PUT    /groups/{name}                                                       - admin
DELETE /groups/{name}                                                       - admin
GET    /users                                                               - admin
POST   /users                                                               - admin
GET    /users/{user}                                                        - admin
PUT    /users/{user}                                                        - admin
DELETE /users/{user}                                                        - admin
PUT    /users/{user}/priority                                               - admin
GET    /users/{user}/groups                                                 - admin
POST   /users/{user}/groups                                                 - admin
PUT    /users/{user}/groups                                                 - admin
PUT    /users/{user}/roles                                                  - admin
POST   /auths                                                               - admin system
GET    /auths/{dataset_id}                                                  - admin
PUT    /auths/{dataset_id}                                                  - admin system
GET    /auths/{dataset_id}/actions/{action}                                 R admin client system pilot user
POST   /ldap                                                                - everybody
POST   /create_token                                                        - admin client system user
POST   /revoke_token                                                        - any
GET    /actions/submit                                                      - admin client system user
POST   /actions/submit                                                      - admin client system user
GET    /actions/edit_config                                                 - admin client system user
POST   /actions/edit_config                                                 - admin client system user
GET    /actions/dataset_status                                              - admin client system user
POST   /actions/dataset_status                                              - admin client system user
GET    /actions/job_status                                                  - admin client system user
POST   /actions/job_status                                                  - admin client system user
GET    /actions/task_status                                                 - admin client system user
POST   /actions/task_status                                                 - admin client system user
GET    /actions/materialization                                             - admin client system user
POST   /actions/materialization                                             - admin client system user
GET    /actions/materialization/datasets/{dataset_id}                       R admin client system user
POST   /actions/materialization/datasets/{dataset_id}                       W admin client system user
GET    /actions/{action}/{request_id}                                       - admin client system user
GET    /datasets/{dataset_id}/tasks/{task_id}/explain                       R admin client system user
GET    /datasets/{dataset_id}/errors                                        R admin client system user
POST   /create                                                              - admin system
POST   /exchange                                                            - admin client system pilot user
GET    /groups/{name}/credentials                                           - admin system user
POST   /groups/{name}/credentials                                           - admin system user
PATCH  /groups/{name}/credentials                                           - admin system user
DELETE /groups/{name}/credentials                                           - admin system user
GET    /users/{user}/credentials                                            - admin system user
POST   /users/{user}/credentials                                            - admin system user
PATCH  /users/{user}/credentials                                            - admin system user
DELETE /users/{user}/credentials                                            - admin system user
GET    /datasets/{dataset_id}/credentials                                   W admin system user
POST   /datasets/{dataset_id}/credentials                                   W admin system user
PATCH  /datasets/{dataset_id}/credentials                                   W admin system user
DELETE /datasets/{dataset_id}/credentials                                   W admin system user
GET    /datasets/{dataset_id}/tasks/{name}/credentials                      W admin client system pilot user
POST   /datasets/{dataset_id}/tasks/{name}/credentials                      W admin system user
PATCH  /datasets/{dataset_id}/tasks/{name}/credentials                      W admin system user
DELETE /datasets/{dataset_id}/tasks/{name}/credentials                      W admin system user
GET    /task_classes                                                        - admin client system user
GET    /failure_policy                                                      - admin client system user
PUT    /failure_policy                                                      - admin
DELETE /failure_policy                                                      - admin
GET    /quarantine                                                          - admin client system user
PUT    /quarantine/{kind}/{name}                                            - admin
DELETE /quarantine/{kind}/{name}                                            - admin
GET    /breakers                                                            - admin client system user
PUT    /breakers/{resource}                                                 - admin
DELETE /breakers/{resource}                                                 - admin
GET    /datasets/{dataset_id}/task_usage                                    R admin client system user
GET    /tasks/{task_id}/explain                                             - admin client system user
"""


def _permission(line: str) -> Permission:
    method, path, right, *roles = line.split()
    return Permission(method.lower(), path, right, frozenset(roles))


PERMISSIONS = [_permission(line) for line in _TABLE.strip().splitlines()]
