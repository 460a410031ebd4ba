"""IceProd: roles, groups, users, tokens, dataset permissions."""
import pytest
from kit import Client, unique

pytestmark = pytest.mark.seed


def names(j):
    return [r["name"] if isinstance(r, dict) else r for r in j["results"]]


# ------------------------------------------------------------------ roles
def test_role_life(ip):
    n = unique("role")
    assert ip.put(f"/roles/{n}", {"name": n}).ok(200).json() == {}
    assert ip.get(f"/roles/{n}").ok(200).json()["name"] == n
    assert n in names(ip.get("/roles").ok(200).json())
    ip.put(f"/roles/{n}", {"name": n}).ok(200)
    assert names(ip.get("/roles").json()).count(n) == 1
    assert ip.delete(f"/roles/{n}").ok(200).json() == {}
    ip.get(f"/roles/{n}").error(404)






def test_delete_unknown_role_is_fine(ip):
    assert ip.delete(f"/roles/{unique()}").ok(200).json() == {}


# ------------------------------------------------------------------ groups
def test_groups_list(ip, group):
    assert group in names(ip.get("/groups").ok(200).json())




@pytest.mark.beyond_peer
def test_group_post_get_delete(ip):
    n = unique("grp")
    gid = ip.post("/groups", {"name": n}).ok(201).new_id()
    assert ip.get(f"/groups/{gid}").ok(200).json()["name"] == n
    assert n in names(ip.get("/groups").ok(200).json())
    ip.delete(f"/groups/{gid}").ok(200)
    assert n not in names(ip.get("/groups").ok(200).json())




def test_group_with_slash(ip):
    n = "/" + unique("grp")
    ip.put("/groups/" + n.replace("/", "%2F"), {"name": n}).ok(200)
    assert n in names(ip.get("/groups").ok(200).json())
    ip.delete("/groups/" + n.replace("/", "%2F")).ok(200)


# ------------------------------------------------------------------ users
@pytest.fixture
def user(ip):
    name = unique("user")
    r = ip.post("/users", {"username": name}).ok(201)
    uid = r.new_id()
    yield name, uid
    ip.delete(f"/users/{uid}")


def test_user_create_and_read(ip, user):
    name, uid = user
    j = ip.get(f"/users/{uid}").ok(200).json()
    assert j["username"] == name
    assert j["user_id"] == uid
    assert j["groups"] == []
    assert j["roles"] == []
    assert j["priority"] == 0.5
    assert [u["user_id"] for u in ip.get("/users", {"username": name}).ok(200).json()["results"]] == [uid]
    assert name in [u["username"] for u in ip.get("/users").ok(200).json()["results"]]


def test_user_create_location(ip):
    r = ip.post("/users", {"username": unique("user")}).ok(201)
    assert r.headers.get("Location", "").endswith("/users/" + r.new_id())
    ip.delete(f"/users/{r.new_id()}").ok(200)


def test_user_needs_a_name(ip):
    ip.post("/users", {}).error(400, about="username")








@pytest.mark.parametrize(("m", "b"), [("POST", {}), ("POST", {"group": "no_such_group_x"}), ("PUT", {}), ("PUT", {"groups": ["no_such_group_x"]})], ids=str)
def test_user_groups_bad(ip, user, m, b):
    ip.call(m, f"/users/{user[1]}/groups", json=b).error(400)
    assert ip.get(f"/users/{user[1]}/groups").json()["results"] == []


def test_user_roles(ip, user):
    ip.put("/roles/user", {"name": "user"}).ok(200)
    assert ip.put(f"/users/{user[1]}/roles", {"roles": ["user"]}).ok(200).json() == {}
    assert ip.get(f"/users/{user[1]}").json()["roles"] == ["user"]




@pytest.mark.beyond_peer
def test_user_by_name_too(ip, user):
    assert ip.get(f"/users/{user[0]}").ok(200).json()["user_id"] == user[1]


# ------------------------------------------------------------------ tokens
@pytest.mark.parametrize("b", [{}, {"username": "a"}, {"username": unique("nobody"), "password": "wrong"}, {"username": "*)(uid=*", "password": ""}], ids=["empty", "no-password", "wrong", "injection"])
def test_ldap_refuses(ip_anon, b):
    ip_anon.post("/ldap", b).error(401, 403)




def test_ldap_login(ip_anon, pytestconfig):
    u, p = pytestconfig.getoption("--ldap-user"), pytestconfig.getoption("--ldap-password")
    if not u:
        pytest.skip("--ldap-user not given")
    j = ip_anon.post("/ldap", {"username": u, "password": p}).ok(200).json()
    assert j["token"]
    assert j["username"] == u
    assert isinstance(j["roles"], list)
    assert isinstance(j["groups"], list)
    assert j["current_role"]
    Client(ip_anon.base, j["token"], pytestconfig).get("/datasets").ok(200)


def make_token(ip, **b):
    r = ip.post("/create_token", b)
    if r.status == 400 and r.json().get("error") in ("invalid username", "invalid role", "invalid token type"):
        pytest.skip(f"the admin token may not create tokens here: {r.text}")
    return r




def test_create_system_token(ip, pytestconfig):
    tok = make_token(ip, type="system", role="client", exp=600).ok(200).json()["result"]
    c = Client(ip.base, tok, pytestconfig)
    c.get("/grids").ok(200)
    c.get("/roles").denied()


def test_temp_token_makes_no_more_tokens(ip, pytestconfig):
    tok = make_token(ip, type="temp", exp=600).ok(200).json()["result"]
    Client(ip.base, tok, pytestconfig).post("/create_token", {"type": "temp"}).error(400, 403)






# ------------------------------------------------------------------ dataset permissions
def test_auths_created_with_dataset(ip, dataset, group):
    j = ip.get(f"/auths/{dataset}").ok(200).json()
    assert group in j["read_groups"]
    assert isinstance(j["write_groups"], list)
    assert "dataset_id" not in j


def test_auths_set_and_get(ip, dataset, group):
    assert ip.put(f"/auths/{dataset}", {"read_groups": [group], "write_groups": []}).ok(200).json() == {}
    j = ip.get(f"/auths/{dataset}").ok(200).json()
    assert j["read_groups"] == [group]
    assert j["write_groups"] == []


@pytest.mark.parametrize("b", [{}, {"read_groups": []}, {"write_groups": []}, {"read_groups": ["no_such_group_x"], "write_groups": []}, {"read_groups": [], "write_groups": ["no_such_group_x"]}], ids=str)
def test_auths_bad(ip, shared_dataset, b):
    ip.put(f"/auths/{shared_dataset}", b).error(400)


@pytest.mark.permission
def test_auths_answers_for_the_caller(ip, ip_user, dataset, group):
    ip.put(f"/auths/{dataset}", {"read_groups": ["users"], "write_groups": []}).ok(200)
    assert ip_user.get(f"/auths/{dataset}/actions/read").ok(200).json() == {}
    ip_user.get(f"/auths/{dataset}/actions/write").error(403)
    ip.put(f"/auths/{dataset}", {"read_groups": [], "write_groups": ["users"]}).ok(200)
    ip_user.get(f"/auths/{dataset}/actions/read").error(403)
    ip_user.get(f"/auths/{dataset}/actions/write").ok(200)




