"""Official weights from the disk: read and noted, or refused with what to do."""

from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from catalogs.errors import BadInput
from models.depth_decoder import DepthDecoder
from models.encoder import Encoder
from models.encoder_sizes import SIZES
from pipelines.pretrained import give_encoder, make_teacher, read_pretrained

TINY = SIZES["tiny"]


def saved(folder: Path, **other: torch.Tensor) -> str:
    """An encoder under the names of Hugging Face's library."""
    state = {name.removeprefix("backbone."): value for name, value in Encoder(TINY).state_dict().items()}
    save_file(state | other, folder / "model.safetensors")
    return str(folder / "model.safetensors")


def test_weights_are_read_given_and_noted(tmp_path):
    weights = read_pretrained(saved(tmp_path))
    digest = sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert weights.note == {"file": "model.safetensors", "sha256": digest}
    encoder = Encoder(TINY)
    give_encoder(encoder, weights)
    assert all(torch.equal(v, weights.state[k.removeprefix("backbone.")]) for k, v in encoder.state_dict().items())


def test_a_path_may_be_relative(tmp_path, monkeypatch):
    saved(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert read_pretrained("model.safetensors").state


def test_a_teacher_needs_depth(tmp_path):
    with pytest.raises(BadInput, match=r"model\.safetensors: do not fit: .*no depth.* Give those of Depth Anything"):
        make_teacher(read_pretrained(saved(tmp_path)))


def test_weights_of_another_size_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"weights of size 'tiny': the network's encoder is 384 wide"):
        give_encoder(Encoder(SIZES["s"]), read_pretrained(saved(tmp_path)))


def test_foreign_weights_are_refused(tmp_path):
    save_file(DepthDecoder(TINY).state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match=r"weights of first\.bias"):
        give_encoder(Encoder(TINY), read_pretrained(str(tmp_path / "model.safetensors")))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("model.pth", b"", "pickle"),
        ("other.safetensors", None, "is not there"),
        ("model.safetensors", b"\x80\x02", "cut short"),
        ("model.safetensors", b"<html>not found</html>", "cut short"),
        (".safetensors", "folder", "cannot be read"),
    ],
)
def test_files_that_hold_no_weights_are_refused(tmp_path, name, content, why):
    if content == "folder":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=why) as caught:
        read_pretrained(str(tmp_path / name))
    assert caught.value.remedy
