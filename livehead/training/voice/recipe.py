"""How the voice model is trained: the typed form of ``configs/train/voice.toml``."""

from __future__ import annotations

from pydantic import Field

from livehead.training.recipe import FrozenSettings


class SoundAugmentation(FrozenSettings):
    """How the sound of a sample is changed. Ranges are drawn from evenly; ``*_share`` of the samples are changed."""

    gain_db: tuple[float, float] = (-14.0, 8.0)
    speed: tuple[float, float] = (0.88, 1.12)
    tract: tuple[float, float] = (0.85, 1.18)
    reverberation_share: float = 0.4
    tilt_share: float = 0.3
    noise_share: float = 0.5
    noise_db: tuple[float, float] = (-35.0, -5.0)
    silence_share: float = 0.12


class AudioVideoSyncSettings(FrozenSettings):
    """How sound and picture of each clip are brought in step before the training, see ``voice_sync``.

    ``rounds`` of networks of ``steps`` steps, of which each has not heard one of ``folds`` parts of the persons. Clips
    whose best correlation is below ``weakest`` are left out.
    """

    rounds: int = Field(2, ge=0)
    folds: int = Field(3, ge=2)
    steps: int = Field(200, ge=1)
    longest_ms: int = Field(240, ge=20)
    weakest: float = 0.25


class VoiceRecipe(FrozenSettings):
    """The whole run. ``outputs`` coefficients; an epoch is not counted, ``steps`` are. Times in seconds."""

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
