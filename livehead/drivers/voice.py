"""The performer's voice drives the avatar: its mouth speaks, and the rest of it idles."""

from __future__ import annotations

import numpy as np

from livehead.clock import NS
from livehead.frames import AudioFrame, Samples
from livehead.interfaces import BaseDriver, DriverInputs
from livehead.models.voice.build import VoiceModel
from livehead.models.voice.logmel import SAMPLE_RATE
from livehead.models.voice.network import LOOK_AHEAD_S
from livehead.models.voice.stream import STEP_SAMPLES, SpeechDetector, VoiceStream
from livehead.motion.easing import smoothstep
from livehead.motion.face.face_rig import FaceRig
from livehead.motion.face.speech_basis import SpeechFace
from livehead.motion.keypoints import Array, Keypoints
from livehead.motion.synthesis.idle import IdleControls

_SEAM_EASE_S = 0.05  # the mouth eases over a seam in the sound
_MAX_SILENCE_S = 1.0  # more silence than this changes nothing
_SPEAKING_SWAY_GAIN = 1.4  # a speaking head sways more than a waiting one


class VoiceDriver(BaseDriver):
    """Speech and idle motion of one avatar, in the avatar's own points; for one thread.

    It is transferred like the motion of ``IdleDriver``. ``DriverInputs.audio`` is the newest sound, up to a second of
    it, mono at 16 kHz; only samples that were not heard yet are taken, by their ``pts``. None is silence. The motion is
    ``LOOK_AHEAD_S`` behind the newest sound (and up to a step of 20 ms more); its ``captured_ns`` is the moment that it
    shows.
    """

    def __init__(
        self, source: Keypoints, model: VoiceModel, activity: SpeechDetector | None = None, seed: int = 0
    ) -> None:
        """Start at rest from ``source``, the avatar's own motion: ``mesh478`` with depth.

        ``activity`` tells speech from noise.
        """
        self._source = source
        self._face_rig = FaceRig(source)
        self._speech_face = SpeechFace(source.points3d()[0], model.basis)
        self._idle = IdleControls(seed, _SPEAKING_SWAY_GAIN)
        self._stream = VoiceStream(model.network, activity)
        self._neutral_mouth = np.zeros(model.network.outputs, np.float32)
        self._next_pts: int | None = None  # pts of the first sample that was not heard yet; None after silence
        self._start_ns: int | None = None
        self._heard_ns = 0
        self._mouth: Array = self._neutral_mouth
        self._seam_offset: Array = self._neutral_mouth
        self._seam_ns = -NS

    @property
    def motion_set(self) -> str:
        """The set of points of the avatar's own motion."""
        return self._source.set

    @property
    def neutral_motion(self) -> Keypoints:
        """The avatar's own motion, from which its mouth opens."""
        return self._source

    def estimate(self, inputs: DriverInputs) -> Keypoints:
        """Estimate the avatar's motion as it speaks the sound of ``inputs``, which may have no frame."""
        if inputs.audio is None:
            self._process_silence(inputs.now_ns)
        else:
            self._process_audio(inputs.audio)
        shown_ns = self._heard_ns - round(LOOK_AHEAD_S * NS)
        if self._start_ns is None:
            self._start_ns = shown_ns
        since_ns = max(shown_ns - self._start_ns, 0)
        left = np.float32(1 - smoothstep((self._heard_ns - self._seam_ns) / NS / _SEAM_EASE_S))
        mouth = self._mouth + left * self._seam_offset
        return self._face_rig.pose_face(
            self._idle.controls_at(since_ns / NS), shown_ns, self._speech_face.deform(mouth)
        )

    def _process_audio(self, audio: AudioFrame) -> None:
        """Hear the samples of ``audio`` that were not heard before."""
        end = audio.pts + audio.samples.shape[1]
        samples = audio.samples[0]
        if self._next_pts is not None and audio.pts <= self._next_pts <= end:
            samples = samples[self._next_pts - audio.pts :]
        else:
            self._start_new_segment()
        self._next_pts = end
        self._heard_ns = audio.captured_ns + audio.samples.shape[1] * NS // SAMPLE_RATE
        self._predict_mouth(samples)
        # Eased from here on: the whole second before it may just have been heard at once.
        if self._seam_ns < 0:
            self._seam_ns, self._seam_offset = self._heard_ns, self._seam_offset - self._mouth

    def _process_silence(self, now_ns: int) -> None:
        """Hear silence for as long as no sound came."""
        seconds = min(max((now_ns - self._heard_ns) / NS, 0.0), _MAX_SILENCE_S)
        self._next_pts = None
        self._heard_ns = max(now_ns, self._heard_ns)
        self._predict_mouth(np.zeros(round(seconds * SAMPLE_RATE / STEP_SAMPLES) * STEP_SAMPLES, np.float32))

    def _start_new_segment(self) -> None:
        """Start another stretch of sound: nothing of the old one is heard in it, but the mouth does not jump."""
        self._stream.reset()
        self._seam_offset, self._seam_ns = self._mouth, -NS

    def _predict_mouth(self, samples: Samples) -> None:
        found = self._stream.process_samples(samples).coefficients
        if len(found):
            self._mouth = found[-1]
