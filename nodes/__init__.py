"""Nodes, one file each, by what they do: sources, readers, the face itself, sinks, the web."""

MOVED = {
    "browser": "web.browser",
    "camera": "sources.camera",
    "compositor": "face.compositor",
    "expression_editor": "face.expression_editor",
    "face_reader": "readers.face_reader",
    "face_tracker": "face.face_tracker",
    "feeling": "readers.feeling",
    "image_folder": "sources.image_folder",
    "image_writer": "sinks.image_writer",
    "media_file": "sources.media_file",
    "media_writer": "sinks.media_writer",
    "microphone": "sources.microphone",
    "network_camera": "sources.network_camera",
    "pattern": "sources.pattern",
    "report": "sinks.report",
    "stopwatch": "sinks.stopwatch",
    "virtual_camera": "sinks.virtual_camera",
    "voice_reader": "readers.voice_reader",
    "webrtc_out": "web.webrtc_out",
    "whip": "web.whip",
}
"""where the modules of graphs that were written before lie now"""
