"""How the voice model is trained: the typed form of ``configs/train/voice.toml``."""

from __future__ import annotations

from pydantic import Field

from livehead.training.recipe import FrozenSettings


class SoundAugmentation(FrozenSettings):
    """How the sound of a sample is changed.

    A pair of numbers is a range from which is drawn evenly; ``..._share`` is the share of samples that are changed.
    """

    gain_db: tuple[float, float] = (-14.0, 8.0)
    speed: tuple[float, float] = (0.88, 1.12)
    tract: tuple[float, float] = (0.85, 1.18)
    reverberation_share: float = 0.4
    tilt_share: float = 0.3
    noise_share: float = 0.5
    noise_db: tuple[float, float] = (-35.0, -5.0)
    silence_share: float = 0.12


class AudioVideoSyncSettings(FrozenSettings):
    """How sound and picture of each clip are aligned before the training, see ``av_alignment``.

    In each of the ``rounds`` one network per fold is trained for ``steps`` steps without the persons of that fold, of
    ``folds``. Lags are sought up to ``longest_ms``. Clips whose best correlation is below ``weakest`` are left out.
    """

    rounds: int = Field(default=2, ge=0)
    folds: int = Field(default=3, ge=2)
    steps: int = Field(default=200, ge=1)
    longest_ms: int = Field(default=240, ge=20)
    weakest: float = 0.25


class VoiceRecipe(FrozenSettings):
    """The whole run, in ``steps`` of ``batch`` excerpts of ``seconds``.

    ``outputs`` are the coefficients of the face's basis, ``members`` the networks whose mean is taken, each ``width``
    channels wide. ``opening``, ``correlation`` and ``velocity`` weigh the losses; ``average`` is the share that the
    moving average of the weights keeps per step. ``checkpoint_every`` and ``validate_every`` are seconds.
    """

    seed: int = 0
    outputs: int = Field(10, ge=1)
    width: int = Field(64, ge=8)
    members: int = Field(4, ge=1)
    dropout: float = 0.2
    batch: int = Field(24, ge=1)
    seconds: float = Field(3.0, gt=0.5)
    steps: int = Field(400, ge=1)
    rate: float = 2e-3
    weight_decay: float = 0.02
    clip: float = 1.0
    average: float = 0.995
    opening: float = 4.0
    correlation: float = 1.0
    velocity: float = 0.5
    checkpoint_every: float = 120
    validate_every: float = 120
    log_every: int = Field(10, ge=1)
    sound: SoundAugmentation = SoundAugmentation()
    sync: AudioVideoSyncSettings = AudioVideoSyncSettings()
