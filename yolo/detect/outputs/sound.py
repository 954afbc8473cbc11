"""Copy the sound of a video file into another one, as far as it can be read."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING

from yolo.detect.sources.video import import_av, open_media, time_shifts
from yolo.errors import counted

if TYPE_CHECKING:
    from av import Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer

log = logging.getLogger(__name__)
SOUND_OF_MP4 = ("aac", "mp3", "ac3", "eac3", "opus", "alac", "flac")  # copied as they are; others become AAC
OTHER_RATE = 48_000  # samples per second, for rates that AAC does not have


class Sound:
    """The first sound of a file, copied into a video up to its last frame. Damaged packets are left out."""

    def __init__(self, container: "InputContainer") -> None:
        """container: with a sound whose codec is known."""
        av = import_av()
        self._source: AudioStream = container.streams.audio[0]
        self._packets = container.demux(self._source)
        self._shift = -(container.start_time or 0) / av.time_base  # seconds to add to the times of the source
        self._begin, self._end = -inf, 0.0  # of the last packet, in seconds of the video; the first may be before 0
        self._copied = self._source.codec_context.codec.canonical_name in SOUND_OF_MP4
        self._errors = (av.FFmpegError, ValueError)  # the latter for frames of another rate
        self._waiting = None
        self._ended = False
        self.damaged = 0  # packets that were left out

    def add_to(self, container: "OutputContainer") -> None:
        """Add the sound's stream to a video."""
        self._container = container
        if self._copied:
            self._stream = container.add_stream_from_template(self._source)
        else:
            layout = "mono" if self._source.channels == 1 else "stereo"
            rates = import_av().Codec("aac", "w").audio_rates
            rate = self._source.rate if self._source.rate in rates else OTHER_RATE
            self._stream = container.add_stream("aac", rate=rate, layout=layout)

    def copy_until(self, time: float) -> None:
        """Copy the sound before `time`, in seconds."""
        while not self._ended:
            packet = self._waiting or self._next()
            self._waiting = None
            if packet is None or packet.dts is None:  # PyAV's demuxer ends with an empty packet
                self._ended = True
                return
            own = float(packet.dts * packet.time_base)
            shift, self._shift = time_shifts(own, self._begin, self._end - self._begin, self._shift)
            begin = own + shift
            if begin > time:
                self._waiting = packet
                return
            self._begin, self._end = begin, begin + float((packet.duration or 0) * packet.time_base)
            self._mux(packet, shift)

    def finish(self) -> None:
        """Write the frames that the encoder still holds."""
        if not self._copied:
            self._container.mux(self._stream.encode(None))

    def _next(self) -> "Packet | None":
        try:
            return next(self._packets, None)
        except self._errors:  # the rest cannot be read
            self.damaged += 1
            return None

    def _mux(self, packet: "Packet", shift: float) -> None:
        """Add a packet; shift: seconds to add to its times."""
        try:
            if self._copied:
                self._mux_copy(packet, shift)
            else:
                self._mux_encoded(packet, shift)
        except self._errors:
            self.damaged += 1

    def _mux_copy(self, packet: "Packet", shift: float) -> None:
        units = round(shift / packet.time_base)
        packet.dts += units
        packet.pts = packet.dts if packet.pts is None else packet.pts + units
        packet.stream = self._stream
        self._container.mux(packet)

    def _mux_encoded(self, packet: "Packet", shift: float) -> None:
        for frame in packet.decode():
            time = self._begin if frame.time is None else frame.time + shift
            frame.pts = round(time * frame.sample_rate)
            frame.time_base = Fraction(1, frame.sample_rate)  # an AVI's unit may be longer than a frame of AAC
            self._container.mux(self._stream.encode(frame))


@contextmanager
def sound_of_video(path: str) -> Iterator[Sound | None]:
    """Open the sound of a video file; None if it has none that can be read. What is left out is logged."""
    with ExitStack() as stack:
        sound = None
        try:
            container = stack.enter_context(open_media(path))
        except import_av().FFmpegError as error:
            log.warning("%s: found no sound that can be read (%s)", path, error.strerror)
        else:
            sound = _first_sound(container, path)
        yield sound
        if sound is not None and sound.damaged:
            log.warning("%s: found damaged sound; %s left out", path, counted(sound.damaged, "packet"))


def _first_sound(container: "InputContainer", path: str) -> Sound | None:
    streams = container.streams.audio
    if not streams:
        return None
    if streams[0].codec_context is None:
        log.warning("%s: found sound of an unknown codec; the video with boxes has none", path)
        return None
    return Sound(container)
