"""Options that all tasks of pictures in a user's folder share."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from metricgrad._documents import NumberField, WholeField
from metricgrad._named_code import NamedCode
from metricgrad.field.backbone import DEVIATION, MEAN

__all__ = ["PictureOptions"]

_Positive = Annotated[NumberField, Field(gt=0)]


class PictureOptions(BaseModel):
    """What can be chosen of the task.

    Args:
        data: folder of the data set, as it is distributed.
        backbone: `package.module:name` of a function or class that makes a network: pictures [item, 3, row, column],
            normalised by channel, to features [item, feature] or maps [item, feature, row, column].
        backbone_settings: its keyword arguments.
        weights: of the backbone: a safetensors file by its own names. None: as the backbone is made.
        leave_out: beginnings of names in that file that are not loaded, such as `head.`.
        without: a module of the backbone that is left out, such as the classifier `fc`.
        trained: a safetensors file of the whole network, as a run leaves it (`best.safetensors`): the start model is
            not trained then.
        dim: of the embedding.
        pooling: of maps: `average`, or `gem`, the generalised mean.
        layer_norm: whether features are normalised before the last layer.
        freeze_batch_norm: whether batch normalisation keeps its statistics, without which no batch is embedded in
            chunks.
        mean: of the channels red, green, blue, each 0 to 1.
        deviation: of the channels.
        resize: shorter side of a picture before its centre is cut out, in pixels.
        crop: side of what the network sees, in pixels.
        classes_per_batch: of fit; all of them where there are fewer.
        samples_per_class: pictures of each class in a batch.
        evaluation_batch: pictures that are embedded together where nothing is learned.
        select_share: of the train classes that are held back for select.
        split_seed: of the division of classes, and of batches and views.
        workers: threads that read pictures; None for one per processor, at most 16.
        development: None for the real splits; a number draws fit, select and a held-out part from the classes of train:
            for choosing settings (`metricgrad settings`) without touching test.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Path
    backbone: NamedCode = Field(min_length=3)
    backbone_settings: dict[str, Any] = Field(default_factory=dict)
    weights: Path | None = None
    leave_out: tuple[str, ...] = ()
    without: str | None = None
    trained: Path | None = None
    dim: WholeField = Field(default=512, ge=2, le=8192)
    pooling: Literal["average", "gem"] = "average"
    layer_norm: bool = True
    freeze_batch_norm: bool = True
    mean: tuple[NumberField, NumberField, NumberField] = MEAN
    deviation: tuple[_Positive, _Positive, _Positive] = DEVIATION
    resize: WholeField = Field(default=256, ge=1, le=4096)
    crop: WholeField = Field(default=224, ge=1, le=4096)
    classes_per_batch: WholeField = Field(default=1000, ge=2, le=100_000)
    samples_per_class: WholeField = Field(default=4, ge=2, le=1000)
    evaluation_batch: WholeField = Field(default=200, ge=1, le=100_000)
    select_share: NumberField = Field(default=0.1, gt=0, lt=1)
    split_seed: WholeField = Field(default=0, ge=0, le=2**32 - 1)
    workers: WholeField | None = Field(default=None, ge=1, le=256)
    development: WholeField | None = Field(default=None, ge=0, le=2**32 - 1)
