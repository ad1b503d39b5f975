"""Options of the suite `photos`: its judges with their weights, and what a target may change. Torch-free."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from spf_core.plugins import OutsideWeights, SuiteConfig, UserPath

if TYPE_CHECKING:
    from spf_core.interfaces import Suite


class JudgeWeights(OutsideWeights):
    """The weights of one judge."""

    judge: ClassVar[str] = ""  # the option of `photos` that holds these
    folder: ClassVar[str] = ""  # in $SPF_METRICS_HOME

    @property
    def place(self) -> str:
        """What these options are called in `--set`."""
        return f"photos.{self.judge}"

    @property
    def weights_name(self) -> str:
        """What the weights are called in $SPF_METRICS_HOME."""
        return self.folder


class TargetWeights(JudgeWeights):
    """A CLIP or SigLIP that says how probable the target is."""

    judge, folder = "target", "siglip"
    hub = "google/siglip2-base-patch16-224"
    licence = "Apache-2.0"


class AttributeWeights(JudgeWeights):
    """A CLIP or SigLIP that reads attributes; another one than the target's judge is best."""

    judge, folder = "attributes", "clip"
    hub = "openai/clip-vit-large-patch14"
    licence = "MIT"


class StructureWeights(JudgeWeights):
    """A DINOv2 whose patches are compared."""

    judge, folder = "structure", "dinov2"
    hub = "facebook/dinov2-base"
    licence = "Apache-2.0"


class ParserWeights(JudgeWeights):
    """A SegFormer that finds the parts of a face."""

    judge, folder = "parser", "face-parsing"
    hub = "jonathandinu/face-parsing"
    licence = "unclear: NVIDIA SegFormer and CelebAMask-HQ are not for commercial use"


class IdentityWeights(JudgeWeights):
    """An ArcFace that embeds faces."""

    judge, folder = "identity", "arcface"
    licence = "InsightFace's published weights: research only, not commercial"

    alignment: Literal["detect", "none"] = Field(
        "detect", description="`detect` finds and aligns faces. `none` takes images for aligned faces."
    )
    detector: UserPath | None = Field(None, description="OpenCV's face_detection_yunet .onnx file.")
    threshold: float = Field(0.7, gt=0, lt=1, description="Lowest confidence of a detected face.")

    def missing(self) -> str | None:
        """What the weights lack, or the detector."""
        from importlib.util import find_spec
        from pathlib import Path

        if self.alignment == "detect":
            if find_spec("cv2") is None:
                return (
                    "OpenCV finds the faces: pip install opencv-python-headless, or --set "
                    "photos.identity.alignment=none for pictures that are aligned faces"
                )
            if self.detector is None or not Path(self.detector).is_file():
                return (
                    f"detector '{self.detector}' is no file; give OpenCV's face_detection_yunet .onnx "
                    "file with --set photos.identity.detector=FILE"
                )
        return super().missing()


class PhotosConfig(SuiteConfig):
    """Photographs of people, judged by the base model itself (`light`) or by outside networks (`full`)."""

    name = "photos"
    writes_data = False

    judges: Literal["light", "full"] = Field(
        "light",
        description="`light` asks the base model's own CLIP, VAE and attention. `full` asks the networks "
        "below; a part whose judge is missing is left out of SPI.",
    )
    scope: Literal["local", "global"] | None = Field(
        None,
        description="Whether the target may change every pixel: `global`. By default, as its words say.",
    )
    allowed_parts: tuple[str, ...] | None = Field(
        None, description="Parser classes that the target may change. By default, as its words say."
    )
    allowed_attributes: tuple[str, ...] | None = Field(
        None, description="Attributes that the target may change. By default, as its words say."
    )
    changes_identity: bool | None = Field(
        None, description="Whether the target alters the identity. By default, as its words say."
    )
    target: TargetWeights = Field(TargetWeights(), description="Judge of the target.")
    attributes: AttributeWeights = Field(AttributeWeights(), description="Judge of the attributes.")
    structure: StructureWeights = Field(StructureWeights(), description="Judge of the structure.")
    parser: ParserWeights = Field(ParserWeights(), description="Judge of the layout, and of the region.")
    identity: IdentityWeights = Field(IdentityWeights(), description="Judge of the identity.")

    def build(self) -> "Suite":
        """Return the suite."""
        from spf_photos.suite import PhotosSuite

        return PhotosSuite(self)
