"""K3 classifications and votes; K4 galaxies and hosts."""

import pytest
from client import ok, refused, until

op = pytest.mark.op
BIG = 987654321


def classify(sp, world, obj, cls="Blazar", **over):
    return sp.op(51, json={"obj_id": obj, "classification": cls, "taxonomy_id": world.taxonomy, "probability": 0.8, "group_ids": [world.group], **over})


@op(51, 47)
def test_classification_create_and_read(sp, world):
    obj = world.obj()
    cid = ok(classify(sp, world, obj, "SN Ia"))["classification_id"]
    data = ok(sp.op(47, classification_id=cid))
    assert (data["id"], data["obj_id"], data["classification"], data["probability"]) == (cid, obj, "SN Ia", 0.8)
    assert "taxonomy" not in data or not isinstance(data["taxonomy"], dict)
    assert ok(sp.op(47, classification_id=cid, params={"includeTaxonomy": "true"}))["taxonomy"]["id"] == world.taxonomy




@op(51)
@pytest.mark.parametrize("missing", ["obj_id", "classification", "taxonomy_id"])
def test_classification_needs(sp, world, missing):
    body = {"obj_id": world.obj(), "classification": "Blazar", "taxonomy_id": world.taxonomy, "group_ids": [world.group]}
    del body[missing]
    refused(sp.op(51, json=body))




@op(48)
def test_classification_update(sp, world):
    cid = ok(classify(sp, world, world.obj()))["classification_id"]
    ok(sp.op(48, classification_id=cid, json={"probability": 0.25, "group_ids": [world.group]}))
    assert ok(sp.op(47, classification_id=cid))["probability"] == 0.25
    refused(sp.op(48, classification_id=BIG, json={"probability": 0.25}))












@op(45, 46)
def test_votes_refused(sp, world):
    cid = ok(classify(sp, world, world.obj()))["classification_id"]
    refused(sp.op(45, classification_id=cid, json={}), hint="vote")
    refused(sp.op(45, classification_id=BIG, json={"vote": 1}))
    refused(sp.op(46, classification_id=BIG))




# galaxies --------------------------------------------------------------------------------

def galaxies(sp, **params):
    return ok(sp.companion("GET", "/api/galaxy_catalog", params=params))["galaxies"]


@op(88)
@pytest.mark.slow
def test_galaxies_from_ascii(sp, uniq):
    text = f"name,ra,dec,distmpc,redshift\n{uniq}A,150.01,2.21,40.5,0.009\n{uniq}B,330.0,-45.0,,\n"
    ok(sp.op(88, json={"catalogName": uniq, "catalogData": text}))
    rows = until(lambda: (lambda g: g if len(g) == 2 else None)(galaxies(sp, catalog_name=uniq)), 20, what="two galaxies in the catalogue")
    a = next(g for g in rows if g["name"] == uniq + "A")
    assert a["ra"] == pytest.approx(150.01)
    assert a["distmpc"] == pytest.approx(40.5)
    assert a["catalog_name"] == uniq


@op(88)
@pytest.mark.slow
def test_galaxies_inside_localization(sp, world, uniq):
    dateobs, name, _ = world.localization
    ra, dec = world.CENTER
    ok(sp.op(88, json={"catalogName": uniq, "catalogData": f"name,ra,dec\n{uniq}in,{ra},{dec}\n{uniq}out,{ra + 90},{dec}\n"}))
    until(lambda: len(galaxies(sp, catalog_name=uniq)) == 2, 20, what="galaxies stored")
    got = [g["name"] for g in galaxies(sp, catalog_name=uniq, localizationDateobs=dateobs, localizationName=name, localizationCumprob=0.9)]
    assert got == [uniq + "in"]


@op(88)
@pytest.mark.parametrize("text", [
    "name,ra\nx,1\n", "name,ra,dec\nx,360.0,0\n", "name,ra,dec\nx,-1,0\n", "name,ra,dec\nx,10,91\n", "name,ra,dec,distmpc\nx,10,1,-5\n", "name,ra,dec,redshift_error\nx,10,1,-0.1\n",
], ids=["no dec", "ra 360", "ra -1", "dec 91", "distance -5", "z error -0.1"])
def test_galaxies_refused(sp, uniq, text):
    refused(sp.op(88, json={"catalogName": uniq, "catalogData": text}))




@op(87)
@pytest.mark.parametrize("body", [{"file_name": "glade.csv"}, {"file_name": "no_such_file_here.txt"}, {"file_url": "http://127.0.0.1/x.csv"}, {"file_url": "ftp://127.0.0.1/x.txt"}],
                         ids=lambda b: str(b))
def test_glade_refused(sp, body):
    refused(sp.op(87, json=body))




@op(87, 88)
def test_galaxy_writes_need_rights(sp_view, uniq):
    refused(sp_view.op(87, json={"file_name": "x.csv"}), 401)
    refused(sp_view.op(88, json={"catalogName": uniq, "catalogData": "name,ra,dec\nx,1,1\n"}), 401)


@op(89)
@pytest.mark.slow
def test_host_galaxy(sp, world, uniq):
    ok(sp.op(88, json={"catalogName": uniq, "catalogData": f"name,ra,dec\n{uniq}G,150.0,2.2\n"}))
    gal = until(lambda: galaxies(sp, catalog_name=uniq), 20, what="galaxy stored")[0]
    obj = world.obj()
    ok(sp.op(89, obj_id=obj, json={"galaxyName": uniq + "G"}))
    assert ok(sp.op(37, obj_id=obj))["host_id"] == gal["id"]


@op(89)
def test_host_refused(sp, world, uniq):
    obj = world.obj()
    refused(sp.op(89, obj_id=obj, json={}), hint="galaxyName")
    refused(sp.op(89, obj_id=obj, json={"galaxyName": uniq}))
    refused(sp.op(89, obj_id=uniq, json={"galaxyName": uniq}))
