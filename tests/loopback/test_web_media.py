"""Real WebRTC peers over loopback: pictures and sound up, through the nodes, and down again."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from engine import operations as ops
from engine.types import AudioFrame, VideoFrame
from nodes.web.webrtc_out import Rate
from tests.loopback.conftest import Start, Web
from tests.loopback.rig import Client, Pictures, Tone, bars, read_number, until

Seen = tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]


def last(client: Client) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    pixels = client.pictures[-1][1].to_ndarray(format="bgr24")
    return np.asarray(pixels, np.uint8)


def is_blue(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bool:
    """The ground of `bars` is B 160, G 120, R 40."""
    return bool(np.abs(pixels[60, 60].astype(int) - (160, 120, 40)).max() < 14)


async def publish_and_view(web: Web, *kinds: str, codec: str = "") -> tuple[Pictures, Client]:
    pictures = Pictures()
    await web.client().publish("/session", pictures, Tone())
    viewer = await web.client().view(kinds=kinds or ("video", "audio"), codec=codec)
    await until(lambda: viewer.pictures and is_blue(last(viewer)), "the picture at the viewer")
    return pictures, viewer


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_picture_and_sound_come_back(web: Start, codec: str) -> None:
    pair = await web()
    pictures, viewer = await publish_and_view(pair, codec=codec)
    viewer.pictures.clear()
    await until(lambda: len(viewer.pictures) > 45, "pictures at the viewer")
    await until(lambda: len(viewer.sounds) > 50, "sound at the viewer")
    newest = viewer.pictures[-1][1]
    assert (newest.width, newest.height) == (320, 240)

    latencies_ms = []
    numbers = []
    for at_ns, frame in viewer.pictures:
        number = read_number(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
        numbers.append(number)
        if number in pictures.sent_ns:
            latencies_ms.append((at_ns - pictures.sent_ns[number]) / 1e6)
    assert len(latencies_ms) > 40
    assert numbers == sorted(numbers)
    assert np.median(latencies_ms) < 200  # 33 of these are the test viewer's own buffer

    heard = np.concatenate(
        [sound.to_ndarray().reshape(-1, 2)[:, 0] for _, sound in list(viewer.sounds)[-25:]]
    ).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    loudest_hz = np.argmax(spectrum) * 48_000 / len(heard)
    assert loudest_hz == pytest.approx(440, abs=6)
    assert np.sqrt(np.mean(heard**2)) > 2000

    await until(lambda: "av_drift_ms" in pair.engine.gauges["out"], "the drift")
    gauges = pair.engine.gauges["out"]
    assert gauges["viewers"] == 1
    assert gauges["codec"] == codec
    assert gauges["size"] == "320x240"
    assert abs(gauges["av_drift_ms"]) < 120
    assert pair.engine.gauges["browser"]["input_fps"] > 20
    assert pair.engine.observed["out"]["capture_to_send"]
    assert pair.engine.observed["out"]["encode"]


async def test_messages_carry_stamps_sizes_and_contiguous_pixels(web: Start) -> None:
    pair = await web()
    await pair.client().publish("/session", Pictures(), Tone())
    await until(lambda: len(pair.engine.emitted["browser.audio"]) > 50, "sound")
    await until(lambda: len(pair.engine.emitted["browser.video"]) > 30, "pictures")
    pictures = [m for m in pair.engine.emitted["browser.video"] if isinstance(m, VideoFrame)]
    sounds = [m for m in pair.engine.emitted["browser.audio"] if isinstance(m, AudioFrame)]
    assert pictures[0].cut and not pictures[-1].cut
    assert pictures[-1].pixels.shape == (240, 320, 3)
    assert pictures[-1].pixels.flags.c_contiguous
    assert is_blue(pictures[-1].pixels)
    assert sounds[-1].rate_hz == 48_000
    assert sounds[-1].samples.shape == (960, 2)
    for messages, period_ns in ((pictures, 33_333_333), (sounds, 20_000_000)):
        stamps = np.array([message.capture_ns for message in messages[10:]])
        assert (np.diff(stamps) > 0).all()
        assert np.median(np.diff(stamps)) == pytest.approx(period_ns, rel=0.15)
        assert 0 <= time.monotonic_ns() - stamps[-1] < 2_000_000_000


async def test_two_viewers_share_one_encode_and_a_late_one_sees_at_once(web: Start) -> None:
    pair = await web()
    pictures, first = await publish_and_view(pair, "video")
    second = await pair.client().view(kinds=("video",))
    await until(lambda: second.pictures and is_blue(last(second)), "the late viewer's picture")
    worker = pair.out._workers["H264"]
    assert list(pair.out._workers) == ["H264"]
    sent, encoded = pictures.number, worker.encoded
    seen = (len(first.pictures), len(second.pictures))
    await until(lambda: worker.encoded > encoded + 40, "pictures encoded")
    encoded = worker.encoded - encoded
    assert encoded < 1.25 * (pictures.number - sent) + 5  # each once, not twice
    assert len(first.pictures) - seen[0] > 0.7 * encoded
    assert len(second.pictures) - seen[1] > 0.7 * encoded


async def test_a_key_frame_asked_for_by_many_is_made_once(web: Start) -> None:
    pair = await web()
    await publish_and_view(pair, "video")
    worker = pair.out._workers["H264"]
    await asyncio.sleep(0.5)
    keys = worker.keys
    for _ in range(20):
        pair.out._want_key("H264")
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    assert 1 <= worker.keys - keys <= 3


async def test_a_viewer_alone_sees_the_title(web: Start) -> None:
    pair = await web()
    viewer = await pair.client().view(kinds=("video",))
    await until(lambda: len(viewer.pictures) > 5, "the title")
    assert viewer.pictures[-1][1].width == 640
    assert last(viewer).mean() < 60


async def test_held_at_five_a_second_when_pictures_stop(web: Start) -> None:
    pair = await web()
    pictures, viewer = await publish_and_view(pair, "video")
    pictures.running.clear()
    await until(lambda: pair.engine.status.get("out", "-")[0] == "lost", "the loss")
    viewer.pictures.clear()
    await until(lambda: len(viewer.pictures) > 8, "what is held")
    between_s = np.diff([at_ns / 1e9 for at_ns, _ in viewer.pictures])
    assert 0.14 < np.median(between_s[2:]) < 0.5  # after what was on its way
    assert is_blue(last(viewer))
    pictures.running.set()
    await until(lambda: pair.engine.status["out"][0] == "ok", "recovery")
    assert pair.out.info()["holding"] is False


async def test_few_pictures_are_said(web: Start) -> None:
    pair = await web(straight=False)
    await pair.client().view(kinds=("video",))

    async def deliver(number: int, every: int) -> None:
        message = VideoFrame(capture_ns=time.monotonic_ns(), pixels=bars(number))
        pair.out.on_raw(message)
        if number % every == 0:
            pair.out.on_video(message)
        await asyncio.sleep(1 / 30)

    for number in range(300):
        await deliver(number, every=6)
        if "slow: " in pair.engine.status.get("out", ("", ""))[1]:
            break
    assert pair.engine.status["out"][0] == "degraded"


def test_a_rate_is_known_once_it_was_watched() -> None:
    rate = Rate()
    second = 1_000_000_000
    for number in range(40):
        assert rate.hz(number * second // 10) is None or number >= 20
        rate.add(number * second // 10)
    assert rate.hz(4 * second) == pytest.approx(10, abs=0.6)
    assert rate.hz(5 * second) == pytest.approx(5, abs=0.6)
    rate.add(20 * second)
    assert rate.hz(20 * second) is None  # it begins anew


async def test_lost_pictures_pass_the_camera_through_where_asked(web: Start) -> None:
    pair = await web(straight=False, when_lost="pass")
    _, viewer = await publish_and_view(pair, "video")
    viewer.pictures.clear()
    await until(lambda: len(viewer.pictures) > 20, "pictures")
    numbers = {
        read_number(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
        for _, frame in list(viewer.pictures)
    }
    assert len(numbers) > 10  # new ones, not one that is held
    said = "the camera delivers, but no picture is made of it: passing the camera through"
    await until(lambda: pair.engine.status.get("out") == ("lost", said), "what is said of it")


async def test_hold_shows_nothing_of_the_camera_before_the_first_picture(web: Start) -> None:
    pair = await web(straight=False)
    await pair.client().publish("/session", Pictures())
    viewer = await pair.client().view(kinds=("video",))
    await until(lambda: len(viewer.pictures) > 10, "the title")
    assert all(
        not is_blue(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
        for _, frame in viewer.pictures
    )


async def test_pass_through_is_a_switch_of_the_page(web: Start) -> None:
    pair = await web(straight=False)
    green = np.zeros((240, 320, 3), np.uint8)
    green[:] = (30, 200, 30)

    async def avatar() -> None:
        while True:
            pair.out.on_video(VideoFrame(capture_ns=time.monotonic_ns(), pixels=green))
            await asyncio.sleep(1 / 30)

    task = asyncio.create_task(avatar())
    try:
        await pair.client().publish("/session", Pictures())
        viewer = await pair.client().view(kinds=("video",))
        await until(lambda: viewer.pictures and last(viewer)[60, 60, 1] > 180, "the avatar")
        await pair.engine.dispatcher.call(ops.Set("out", "pass_through", True))
        await until(lambda: is_blue(last(viewer)), "the camera")
        await pair.engine.dispatcher.call(ops.Set("out", "pass_through", False))
        await until(lambda: last(viewer)[60, 60, 1] > 180, "the avatar again")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_mute_is_silence(web: Start) -> None:
    pair = await web()
    _, viewer = await publish_and_view(pair)
    await until(
        lambda: viewer.sounds and np.abs(viewer.sounds[-1][1].to_ndarray()).max() > 3000, "sound"
    )
    await pair.engine.dispatcher.call(ops.Set("out", "mute", True))
    await until(lambda: np.abs(viewer.sounds[-1][1].to_ndarray()).max() < 100, "silence")


async def test_the_size_may_change_while_it_runs(web: Start) -> None:
    pair = await web(straight=False)
    viewer = await pair.client().view(kinds=("video",))
    for width, height in ((320, 240), (641, 481), (160, 120)):

        def seen(wide: int = width & ~1) -> bool:
            return bool(viewer.pictures) and viewer.pictures[-1][1].width == wide

        for number in range(120):
            pixels = bars(number, width, height)
            pair.out.on_video(VideoFrame(capture_ns=time.monotonic_ns(), pixels=pixels))
            await asyncio.sleep(0.03)
            if seen():
                break
        assert seen(), (width, height)
    assert pair.engine.counters["out"]["encoder_failures"] == 0


@pytest.mark.parametrize(("codec", "other"), [("h264", "VP8"), ("vp8", "H264")])
async def test_publishers_send_the_codec_they_are_asked_for(
    web: Start, codec: str, other: str
) -> None:
    pair = await web()
    await pair.engine.dispatcher.call(ops.Set("browser", "codec", codec))
    publisher = await pair.client().publish("/session", Pictures())
    answer = publisher.connection.remoteDescription.sdp
    assert f"{codec.upper()}/90000" in answer
    assert f"{other}/90000" not in answer
    viewer = await pair.client().view(kinds=("video",))
    await until(lambda: viewer.pictures and is_blue(last(viewer)), "the picture at the viewer")


async def test_a_large_publisher_is_scaled_down(web: Start) -> None:
    pair = await web()
    await pair.engine.dispatcher.call(ops.Set("browser", "longest_px", 160))
    await pair.client().publish("/session", Pictures(320, 240))
    await until(lambda: pair.engine.emitted["browser.video"], "pictures")
    newest = pair.engine.emitted["browser.video"][-1]
    assert isinstance(newest, VideoFrame)
    assert newest.pixels.shape == (120, 160, 3) and newest.pixels.flags.c_contiguous
    await pair.engine.dispatcher.call(ops.Set("browser", "longest_px", 200))
    await until(lambda: pair.browser.info()["width"] == 200, "pictures of another size")


async def test_a_new_page_takes_over(web: Start) -> None:
    pair = await web()
    first, second = Pictures(), Pictures(160, 120)
    old = await pair.client().publish("/session", first)
    await until(lambda: pair.engine.emitted["browser.video"], "the first page")
    await pair.client().publish("/session", second)
    await until(lambda: pair.browser.info()["width"] == 160, "the second page")
    await until(lambda: old.connection.connectionState == "closed", "the first page's end")
    assert pair.engine.counters["browser"]["takeovers"] == 1
    assert len(pair.browser._peers) == 1
