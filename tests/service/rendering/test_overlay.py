"""The heat must lie where the relevance is, on the model's frames and on the source's."""

from __future__ import annotations

import io
import json
import subprocess

import av
import numpy as np
import pytest

from actionlens.v1 import answer_pb2, explanation_pb2, model_pb2
from service.decoding.display import decode_for_display
from service.decoding.fit import fit
from service.errors import InvalidArgument
from service.rendering.colours import heat_colours
from service.rendering.film_times import constant_times
from service.rendering.overlay import blend, encode_jpeg, enlarge, write_mp4
from tests.conftest import absent
from tests.service.rendering.explanations import attribution, grey, saliency
from tests.waiting import PATIENCE


def change(before, after):
    return np.abs(after.astype(int) - before).sum(-1)


def peak_of(before, after):
    """Centre of the pixels that changed most: row, column as shares of the image."""
    difference = change(before, after)
    rows, columns = np.nonzero(difference >= difference.max() * 0.9)
    return (rows.mean() + 0.5) / difference.shape[0], (columns.mean() + 0.5) / difference.shape[1]


def one_cell(steps, height, width, step, row, column):
    values = np.zeros((steps, height, width))
    values[step, row, column] = 2.5
    return values


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 5), (6, 6), (3, 1)])
def test_heat_lies_on_its_cell(row, column):
    frames = grey(4, 70, 140)
    after = blend(frames, saliency(one_cell(4, 7, 7, 2, row, column)), legend=False)
    # Border cells are constant from their centre to the edge, which moves the middle by a quarter of a cell.
    assert peak_of(frames[2], after[2]) == pytest.approx(((row + 0.5) / 7, (column + 0.5) / 7), abs=0.04)
    assert change(frames[0], after[0]).max() == 0


@pytest.mark.parametrize("rule", ["letterbox", "crop", "stretch"])
@pytest.mark.parametrize("size", [(120, 60), (60, 120), (90, 150)])
def test_heat_is_mapped_back_to_the_source(rule, size):
    """A white dot in the source, found in the model's frame by eye (brightest pixel), must get the heat back."""
    width, height = size
    source = np.zeros((height, width, 3), np.uint8)
    row, column = int(height * 0.42), int(width * 0.56)
    source[row - 3 : row + 4, column - 3 : column + 4] = 255
    takes = model_pb2.ModelInput(frames=1, width=64, height=64, resize=rule)
    seen, placement = fit(source, takes)
    brightness = seen[..., 0].astype(float)
    values = (brightness * (brightness > 200)).reshape(1, 64, 64)
    blank = grey(1, height * 2, width * 2)
    after = blend(blank, saliency(values), placement, legend=False)
    assert peak_of(blank[0], after[0]) == pytest.approx((row / height, column / width), abs=0.04)


def test_the_model_frames_themselves_need_no_mapping():
    _, placement = fit(np.zeros((60, 120, 3), np.uint8), model_pb2.ModelInput(width=64, height=64, resize="letterbox"))
    explanation = saliency(one_cell(1, 4, 4, 0, 2, 1))
    for frames in (grey(1, 64, 64), grey(1, 256, 256)):
        after = blend(frames, explanation, placement, legend=False)
        assert peak_of(frames[0], after[0]) == pytest.approx((0.625, 0.375), abs=0.03)


def test_what_the_model_did_not_see_is_dimmed_and_has_no_heat():
    _, placement = fit(np.zeros((60, 120, 3), np.uint8), model_pb2.ModelInput(width=64, height=64, resize="crop"))
    after = blend(grey(1, 60, 120), saliency(np.ones((1, 2, 2))), placement, legend=False)[0]
    assert (after[:, :29] == 35).all()
    assert (after[:, 91:] == 35).all()
    assert (after[:, 31:89] != 35).all()


def test_one_scale_for_the_whole_clip():
    """A frame with a tenth of the relevance is painted faintly, not as strongly as the strongest."""
    values = np.stack([np.full((3, 3), 10.0), np.full((3, 3), 1.0)])
    frames = grey(2, 32, 32)
    after = blend(frames, saliency(values, positions=[0, 1]), legend=False)
    colours, opacity = heat_colours(np.array([1.0, 0.1], np.float32), signed=False)
    expected = frames[0, 0, 0] + (colours - 100.0) * opacity[:, None]
    assert np.abs(after[:, 16, 16] - expected).max() <= 1


def test_opacity_grows_with_relevance_and_zero_is_clear():
    levels = np.linspace(0, 1, 101, dtype=np.float32)
    for signed in (False, True):
        _, opacity = heat_colours(levels, signed)
        assert opacity[0] == 0
        assert (np.diff(opacity) > 0).all()
        assert opacity[-1] < 0.9


def test_sequential_colours_get_lighter_step_by_step():
    colours, _ = heat_colours(np.linspace(0, 1, 256, dtype=np.float32), signed=False)
    luminance = colours @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) >= -1.0).all()
    assert luminance[-1] - luminance[0] > 120


def test_signs_have_two_colours():
    values = np.zeros((1, 1, 2))
    values[0, 0] = [-1, 1]
    after = blend(grey(1, 40, 80), saliency(values, signed=True), legend=False)[0]
    against, in_favour = after[20, 5].astype(int), after[20, 75].astype(int)
    assert against[2] > against[0] + 60
    assert in_favour[0] > in_favour[2] + 60


def test_negative_values_of_an_unsigned_map_are_not_drawn():
    frames = grey(1, 20, 20)
    assert (blend(frames, saliency(-np.ones((1, 2, 2))), legend=False) == frames).all()


def test_what_a_selective_method_leaves_out_has_no_colour():
    mask = np.zeros((1, 2, 2))
    mask[0, 0, 0] = 1
    after = blend(grey(1, 80, 80), saliency(np.ones((1, 2, 2)), mask=mask), legend=False)[0].astype(int)
    assert np.ptp(after[10, 10]) > 60
    assert np.ptp(after[70, 70]) <= 2
    assert (after >= 240).all(-1).any()


@pytest.mark.parametrize(
    "explanation",
    [explanation_pb2.Explanation(), attribution([1, 2]), saliency(np.zeros((1, 2, 2)))],
    ids=["empty", "frames only", "all zero"],
)
def test_nothing_to_lay_over_changes_nothing(explanation):
    frames = grey(2, 64, 64)
    assert (blend(frames, explanation, legend=False) == frames).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_not_drawn(value):
    values = np.zeros((1, 2, 2))
    values[0, 0, 0], values[0, 1, 1] = value, 1
    frames = grey(1, 40, 40)
    after = blend(frames, saliency(values), legend=False)
    assert change(frames[0], after[0])[:8, :8].max() == 0
    assert change(frames[0], after[0])[32:, 32:].min() > 0


def test_legend_is_the_same_on_every_frame_and_in_its_corner():
    values = np.random.default_rng(0).random((4, 5, 5))
    frames = grey(4, 240, 320)
    plain, marked = blend(frames, saliency(values), legend=False), blend(frames, saliency(values))
    rows, columns = np.nonzero((plain != marked).any((0, 3)))
    assert rows.min() > 200
    assert columns.max() < 160
    assert (blend(grey(1, 24, 24), saliency(values)) == blend(grey(1, 24, 24), saliency(values), legend=False)).all()


def test_film_plays_and_keeps_its_frames(tmp_path, numbered, number_of):
    frames = np.stack(numbered(12, 81, 49))
    path = tmp_path / "film"
    write_mp4(path, frames, constant_times(12, 12.5))
    probe = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    try:
        (stream,) = json.loads(subprocess.run(probe, capture_output=True, check=True, timeout=PATIENCE).stdout)[
            "streams"
        ]
    except FileNotFoundError:
        absent("ffprobe", "apt-get install ffmpeg")
    assert (stream["codec_name"], stream["pix_fmt"], stream["nb_frames"]) == ("h264", "yuv420p", "12")
    assert stream["avg_frame_rate"] == "25/2"
    assert stream["width"] % 2 == stream["height"] % 2 == 0
    assert stream["height"] >= 448
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    back = decode_for_display(path, range(12))
    assert [number_of(image) for image in back] == list(range(12))


def test_film_goes_to_a_stream_in_true_colours():
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    frames[:] = [200, 90, 30]
    target = io.BytesIO()
    write_mp4(target, frames, constant_times(3, 1))
    with av.open(io.BytesIO(target.getvalue())) as video:
        image = next(video.decode(video=0)).to_ndarray(format="rgb24")
        assert video.streams.video[0].average_rate == 1
    assert np.abs(image[200, 200].astype(int) - [200, 90, 30]).max() <= 4


def test_jpeg_of_a_frame():
    data = encode_jpeg(grey(1, 30, 50, 77)[0])
    assert data.startswith(b"\xff\xd8\xff")
    assert np.abs(decode_for_display([data], [0], max_side=50).astype(int) - 77).max() <= 1


def test_display_keeps_the_aspect(encode, numbered, number_of, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(encode(numbered(20, 160, 96)))
    for source in (path, path.read_bytes()):
        images = decode_for_display(source, [19, 3], max_side=320)
        assert images.shape == (2, 192, 320, 3)
        assert [number_of(image) for image in images] == [19, 3]
    assert decode_for_display(path, [0], max_side=80).shape == (1, 48, 80, 3)
    with pytest.raises(InvalidArgument, match="frames 0 to 19"):
        decode_for_display(path, [20])


def test_display_of_images(png, numbered, number_of, tmp_path):
    files = []
    for index, image in enumerate(numbered(5)):
        files.append(tmp_path / f"{index}.png")
        files[-1].write_bytes(png(image))
    assert [number_of(image) for image in decode_for_display(files, [4, 1], max_side=80)] == [4, 1]
    with pytest.raises(InvalidArgument):
        decode_for_display(files, [5])


def test_enlarging_keeps_large_frames():
    assert enlarge(grey(1, 448, 500)).shape == (1, 448, 500, 3)
    assert enlarge(grey(2, 112, 56)).shape == (2, 896, 448, 3)


def test_no_placement_in_a_report_means_model_frames():
    frames = grey(1, 40, 80)
    values = one_cell(1, 4, 4, 0, 1, 2)
    with_empty = blend(frames, saliency(values), answer_pb2.Placement(), legend=False)
    assert (with_empty == blend(frames, saliency(values), legend=False)).all()
