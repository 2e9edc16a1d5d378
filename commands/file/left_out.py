"""What of a file has no place in the edited one, said before the work: one line for each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from media import image_file
from media.image_file import is_picture
from media.probing import audio_stream, first_picture, is_cover, open_media, video_stream
from nodes.sources.image_folder import files_in, pictures_in

_HDR: Final = {16: "PQ", 18: "HLG"}
"""transfer functions of ITU-T H.273"""


def left_out(path: Path, goal_is_video: bool) -> list[str]:
    """Of a video, a picture or a folder of pictures. Raises MienError where none can be read."""
    if path.is_dir() or not goal_is_video:
        return _of_pictures(path)
    if is_picture(path):
        return [line for line in image_file.left_out(path) if not line.startswith("moving")]
    container = open_media(str(path))
    try:
        return _of_video(container)
    finally:
        container.close()


def _of_pictures(path: Path) -> list[str]:
    kinds: dict[str, list[str]] = {}
    pictures = pictures_in(path)
    for picture in pictures:
        for line in image_file.left_out(picture):
            kinds.setdefault(line, []).append(picture.name)
    if path.is_dir() and (others := set(files_in(path)) - set(pictures)):
        kinds["no pictures that can be edited, left out"] = sorted(one.name for one in others)
    return [f"{_names(names)}: {line}" for line, names in kinds.items()]


def _names(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _of_video(container: Any) -> list[str]:
    video, sound = video_stream(container), audio_stream(container)
    streams = container.streams
    covers = sum(is_cover(stream) for stream in streams.video)
    counts = {
        "sound track": len(streams.audio) - (sound is not None),
        "video track": len(streams.video) - covers - 1,
        "subtitle track": len(streams.subtitles),
        "data track": len(streams.data) + len(streams.attachments),
        "cover picture": covers,
        "chapter": len(container.chapters()),
    }
    parts = [f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items() if count > 0]
    lines = [f"left out: {', '.join(parts)}"] if parts else []
    tracks = list(streams.audio)
    if sound is not None and tracks[0] is not sound:
        place = tracks.index(sound) + 1
        lines.append(f"of {len(tracks)} sound tracks the default is taken, number {place}")
    frame = first_picture(container, video)
    return lines if frame is None else lines + _of_depth(frame)


def _of_depth(frame: Any) -> list[str]:
    lines = []
    bits = max(component.bits for component in frame.format.components)
    if bits > 8:
        name = _HDR.get(int(frame.color_trc))
        hdr = f"HDR ({name}), its colours are kept: " if name else ""
        lines.append(f"{hdr}{bits} bits a channel, of which 8 are written")
    if frame.interlaced_frame:
        lines.append("interlaced: pictures keep the lines of both fields; deinterlace it first")
    return lines
