"""Photos read as face crops, and face crops read as photos, are noticed; what is right causes no note."""

from PIL import Image

from support import note_codes, noted


def test_predict_notes_photographs_given_as_crops(mien, tiny_run, astronaut, tmp_path):
    photo, crop = tmp_path / "photo.png", tmp_path / "crop.png"
    Image.fromarray(astronaut).save(photo)
    # Her face with hair, as a crop that is loose.
    Image.fromarray(astronaut).crop((140, 30, 310, 200)).resize((400, 400)).save(crop)
    for command in (("predict",), ("explain", "--out", tmp_path / "maps")):
        noticed = mien(*command, photo, "--crops", "--model", tiny_run.path)
        assert noticed.code == 0, noticed.err
        assert note_codes(noticed.err) == ["photo-as-crop"]
        noted(noticed, "photo-as-crop", "photo.png")
    assert note_codes(mien("predict", crop, "--crops", "--model", tiny_run.path).err) == []
    assert note_codes(mien("predict", photo, "--model", tiny_run.path).err) == []


def test_predict_notes_crops_without_a_face_once(mien, tiny_run, tmp_path):
    for number in range(3):
        Image.new("L", (48, 48), 90 + number).save(tmp_path / f"{number}.png")
    said = mien("predict", tmp_path, "--model", tiny_run.path)
    assert said.code == 0, said.err
    assert note_codes(said.err) == ["crops-as-photos"]
    noted(said, "crops-as-photos", 3, "--crops")
    assert note_codes(mien("predict", tmp_path, "--crops", "--model", tiny_run.path).err) == []
