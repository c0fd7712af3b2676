"""A recording: a sound file, or the microphone. Knows files and seconds; the browser records (microphone.js)."""

from __future__ import annotations

from pathlib import Path

from nicegui import ui
from nicegui.element import Element

from bilstm.data.recordings import SOUNDS
from bilstm.errors import DataError
from bilstm.server.page.inputs import OVERHEAD, Input
from bilstm.server.page.parts import droppable, upload_button
from bilstm.server.page.questions import Question

MOST_SECONDS = 60.0  # of a recording by the microphone
WIDEST = 2 * 48_000  # bytes of a second of sound that a microphone gives
# the player gets the file in the browser itself: nothing is sent twice
PLAY = """(files) => {
  const player = getHtmlElement(PLAYER);
  URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(files[0]);
  player.hidden = false;
}"""


class Microphone(Element, component="microphone.js"):
    """Records, and hands a WAV file to an upload.

    Args:
        upload: what takes the file.
        most: seconds, at most.
    """

    def __init__(self, upload: ui.upload, most: float) -> None:
        super().__init__()
        self.add_resource(Path(__file__).parent / "sound")
        self.props["upload"] = upload.id
        self.props["most"] = most


class SoundInput(Input):
    """A file is transcribed as soon as it is there."""

    def draw(self, card: ui.element) -> None:
        """A microphone, a file, and a player of what was heard."""
        limit = max(self.settings.body - OVERHEAD, 1)
        microphone = ui.element("div")
        with ui.element("div").classes("row"):
            upload = upload_button(
                "Upload a sound file", self._taken, self._failed, kinds=",".join(SOUNDS), most_bytes=limit
            )
        droppable(card, upload)
        with microphone:
            Microphone(upload, float(int(min(MOST_SECONDS, self.settings.seconds, limit / WIDEST))))
        player = ui.element("audio").props('controls hidden aria-label="What was heard"')
        upload.on("added", js_handler=PLAY.replace("PLAYER", str(player.id)))
        ui.label("WAV, FLAC, OGG or MP3. What the microphone hears goes to this server and nowhere else.").classes(
            "soft"
        )

    def question(self) -> Question:
        """There is none before there is a sound."""
        raise DataError("expected a sound, got none", "record one, or upload a file")

    async def _taken(self, name: str, content: bytes) -> None:
        await self.ask(lambda: Question([content], [name], [content]))

    def _failed(self, message: str) -> None:
        self.fail(DataError(message, "choose a shorter recording, or use the command line: bilstm predict"))
