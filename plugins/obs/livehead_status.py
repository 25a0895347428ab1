"""A script inside OBS (Tools, Scripts, +) that makes or repairs the source that shows livehead, and reports its state.

The state is shown in the script's own settings and, if wanted, on screen in a text source. Nothing here blocks OBS:
without livehead the script says so and goes on.
"""

from __future__ import annotations

from typing import Any

import obspython as obs
from livehead_figures import PictureArrivals, ServerMonitor, describe_source
from livehead_source import HOST, MEDIA, NAME, PORT, StreamAddress, media_settings

_EVERY_MS = 1000
_TEXT_NAME, _TEXT_SIZE = "Livehead status", 28
_TIPS = {  # OBS leaves the panel little width, so that the words are explained here
    "source": "Name of the source that shows livehead",
    "host": "Address of this machine on which OBS awaits the stream; 0.0.0.0 if livehead runs on another machine",
    "make": "Make the source in the scene on air, or mend its settings",
    "make_at_start": "Make or mend the source whenever OBS starts",
    "server": "Address of livehead serve, to tell how it is doing; may be empty",
    "token": "Token of livehead serve; may be empty",
}
_TEXT_KINDS = ("text_ft2_source_v2", "text_gdiplus_v2", "text_gdiplus")


class ScriptStatus:
    """The script's state between two calls of OBS."""

    def __init__(self) -> None:
        self.name = NAME
        self.host, self.port = HOST, PORT
        self.on_screen = self.make_at_start = self.started = False
        self.server = ("", "")
        self.line = "not looked yet"
        self.arrivals = PictureArrivals()
        self.size = (0, 0)
        self.sounds = self.there = False
        self.watch: ServerMonitor | None = None
        self.settings: Any = None

    def look(self) -> None:
        """Read what the source shows now; OBS calls this with each of its pictures."""
        source = obs.obs_get_source_by_name(self.name)
        self.there = source is not None
        if source is None:
            self.arrivals.reset()
            return
        self.size = (obs.obs_source_get_width(source), obs.obs_source_get_height(source))
        playing = obs.obs_source_media_get_state(source) == obs.OBS_MEDIA_STATE_PLAYING
        # The media's clock goes on with each picture, and with each piece of sound. To take the picture itself is not
        # for scripts: OBS would not get to draw it.
        self.arrivals.record(obs.obs_source_media_get_time(source) if playing and self.size[0] else None)
        self.sounds = obs.obs_source_get_audio_timestamp(source) > 0
        obs.obs_source_release(source)

    def tell(self) -> None:
        """Update the line and the text source that shows it."""
        parts = [describe_source(self.there, self.arrivals, self.size, self.sounds)]
        if self.watch is not None:
            parts.append(self.watch.line)
        self.line = "; ".join(parts)
        if self.settings is not None:
            obs.obs_data_set_string(self.settings, "status", self.line)
        text = obs.obs_get_source_by_name(_TEXT_NAME)
        if text is not None:
            _update(text, {"text": self.line if self.on_screen else ""})
            obs.obs_source_release(text)

    def ask(self, url: str, token: str) -> None:
        """Monitor the server at ``url`` from now on, or none if it is empty."""
        if (url, token) == self.server:
            return
        self.server = (url, token)
        self.close()
        if url:
            self.watch = ServerMonitor(url, token)

    def close(self) -> None:
        """Stop monitoring a server."""
        watch, self.watch = self.watch, None
        if watch is not None:
            watch.close()


status = ScriptStatus()


def script_description() -> str:
    return (
        "<b>livehead</b>: an avatar from one photo.<br>Start it with "
        "<code>livehead run --avatar PHOTO --sink udp:127.0.0.1:5000</code>, then press Make, mend."
    )


def script_defaults(settings: Any) -> None:
    obs.obs_data_set_default_string(settings, "source", NAME)
    obs.obs_data_set_default_string(settings, "host", HOST)
    obs.obs_data_set_default_int(settings, "port", PORT)


def script_properties() -> Any:
    panel = obs.obs_properties_create()
    obs.obs_properties_add_text(panel, "status", "Status", obs.OBS_TEXT_INFO)
    obs.obs_properties_add_button(panel, "refresh", "Look again", refresh_pressed)
    obs.obs_properties_add_text(panel, "source", "Source", obs.OBS_TEXT_DEFAULT)
    obs.obs_properties_add_text(panel, "host", "Listen on", obs.OBS_TEXT_DEFAULT)
    obs.obs_properties_add_int(panel, "port", "Port", 1, 65535, 1)
    obs.obs_properties_add_button(panel, "make", "Make, mend", make_pressed)
    obs.obs_properties_add_bool(panel, "make_at_start", "At each start")
    obs.obs_properties_add_bool(panel, "on_screen", "Status in a text source")
    obs.obs_properties_add_text(panel, "server", "Server", obs.OBS_TEXT_DEFAULT)
    obs.obs_properties_add_text(panel, "token", "Token", obs.OBS_TEXT_PASSWORD)
    for name, tip in _TIPS.items():
        obs.obs_property_set_long_description(obs.obs_properties_get(panel, name), tip)
    return panel


def script_update(settings: Any) -> None:
    status.name = obs.obs_data_get_string(settings, "source").strip() or NAME
    status.host = obs.obs_data_get_string(settings, "host").strip()
    status.port = obs.obs_data_get_int(settings, "port")
    status.on_screen = obs.obs_data_get_bool(settings, "on_screen")
    status.make_at_start = obs.obs_data_get_bool(settings, "make_at_start")
    status.ask(obs.obs_data_get_string(settings, "server").strip(), obs.obs_data_get_string(settings, "token"))
    if status.on_screen and status.started:
        _text_source()


def script_load(settings: Any) -> None:
    status.settings = settings
    obs.timer_add(each_second, _EVERY_MS)


def script_unload() -> None:
    obs.timer_remove(each_second)
    status.settings = None
    status.close()


def script_tick(seconds: float) -> None:
    status.look()


def each_second() -> None:
    if not status.started and _scene_ready():
        status.started = True
        if status.make_at_start:
            make_source()
        if status.on_screen:
            _text_source()
    status.tell()


def refresh_pressed(properties: Any, button: Any) -> bool:
    status.tell()
    return True  # OBS draws the settings again


def make_pressed(properties: Any, button: Any) -> bool:
    make_source()
    return refresh_pressed(properties, button)


def make_source() -> None:
    """Make or repair the source and show it in the scene on air; errors go into the script log."""
    try:
        address = StreamAddress(status.host, status.port)
    except ValueError as error:
        obs.script_log(obs.LOG_WARNING, str(error))
        return
    source = obs.obs_get_source_by_name(status.name)
    if source is None:
        settings = _data(media_settings(address))
        source = obs.obs_source_create(MEDIA, status.name, settings, None)
        obs.obs_data_release(settings)
    elif obs.obs_source_get_unversioned_id(source) == MEDIA:
        _update(source, media_settings(address))
    else:
        obs.script_log(obs.LOG_WARNING, f"{status.name} is a source of another kind: choose another name")
        obs.obs_source_release(source)
        return
    # OBS shows a stream's pictures by its own clock; unbuffered, it shows each when it is there.
    obs.obs_source_set_async_unbuffered(source, True)
    _into_scene(source, fill=True)
    obs.obs_source_release(source)


def _text_source() -> None:
    """Make the text source if there is none."""
    source = obs.obs_get_source_by_name(_TEXT_NAME)
    if source is None:
        settings = _data({"font": {"face": "Sans", "size": _TEXT_SIZE}})
        for kind in _TEXT_KINDS:
            if source is None:
                source = obs.obs_source_create(kind, _TEXT_NAME, settings, None)
        obs.obs_data_release(settings)
    if source is not None:
        _into_scene(source)
        obs.obs_source_release(source)


def _scene_ready() -> bool:
    """Whether OBS has a scene by now: scripts are loaded before."""
    current = obs.obs_frontend_get_current_scene()
    if current is not None:
        obs.obs_source_release(current)
    return current is not None


def _into_scene(source: Any, *, fill: bool = False) -> None:
    """Into the scene on air, unless it is there already; ``fill``: as large as the canvas has room for."""
    current = obs.obs_frontend_get_current_scene()
    scene = obs.obs_scene_from_source(current)
    if obs.obs_scene_find_source(scene, obs.obs_source_get_name(source)) is None:
        item = obs.obs_scene_add(scene, source)
        if fill:
            video, bounds = obs.obs_video_info(), obs.vec2()
            obs.obs_get_video_info(video)
            bounds.x, bounds.y = video.base_width, video.base_height
            obs.obs_sceneitem_set_bounds_type(item, obs.OBS_BOUNDS_SCALE_INNER)
            obs.obs_sceneitem_set_bounds(item, bounds)
    obs.obs_source_release(current)


def _update(source: Any, values: dict[str, Any]) -> None:
    settings = _data(values)
    obs.obs_source_update(source, settings)
    obs.obs_data_release(settings)


def _data(values: dict[str, Any]) -> Any:
    """As OBS takes settings; to be released."""
    data = obs.obs_data_create()
    for key, value in values.items():
        if isinstance(value, bool):
            obs.obs_data_set_bool(data, key, value)
        elif isinstance(value, int):
            obs.obs_data_set_int(data, key, value)
        elif isinstance(value, dict):
            inner = _data(value)
            obs.obs_data_set_obj(data, key, inner)
            obs.obs_data_release(inner)
        else:
            obs.obs_data_set_string(data, key, value)
    return data
