"""Predictions of either model at the step's z_t under any of its texts, each computed once, when needed."""

from torch import Tensor

from spf_core.dual_path.parts import Parts
from spf_core.dual_path.step_sampling import Texts
from spf_core.dual_path.texts import as_tuned, text_of
from spf_core.interfaces import TextName
from spf_core.interfaces.types import NOTHING, Batch, Conditioning, Noised, PathOutput


class StepPredictions:
    """eps of the tuned and of the original model; satisfies `interfaces.Predictions`.

    `known` holds what the two paths of the step have already computed, `read` what the tuned model has read.
    """

    def __init__(
        self,
        parts: Parts,
        batch: Batch,
        noised: Noised,
        known: dict[tuple[str, TextName], Tensor],
        read: dict[TextName, Conditioning],
    ) -> None:
        self.backbone, self.adapter, self.reference = parts.backbone, parts.adapter, parts.reference
        self.batch, self.noised = batch, noised
        self._known, self._texts = dict(known), dict(read)
        self._versions = {key: tensor._version for key, tensor in known.items()}

    @classmethod
    def beside(
        cls,
        parts: Parts,
        batch: Batch,
        noised: Noised,
        texts: Texts,
        response: PathOutput,
        reference: PathOutput | None,
        tuned: Conditioning,
    ) -> "StepPredictions":
        """The predictions in a step whose paths have run: what they computed for every row is not run again.

        A recorded reference is left out: it does not know the rows that are noised images.
        """
        known: dict[tuple[str, TextName], Tensor] = {}
        if complete := bool(texts.target_B.all()):
            known["tuned", "complete"] = response.pred_BCHW
        if reference and noised.reference is None and bool(texts.reads_text_B.all()):
            known["original", "base"] = reference.pred_BCHW
        return cls(parts, batch, noised, known, {"complete": tuned} if complete else {})

    def text(self, text: TextName) -> Conditioning:
        """What the tuned model reads under `text`; with gradient where its text encoders are tuned."""
        if text not in self._texts:
            words = [text_of(prompt, text) for prompt in self.batch.prompts]
            self._texts[text] = as_tuned(self.backbone, self.adapter, reading(self.batch, text), words)
        return self._texts[text]

    def tuned(self, text: TextName) -> Tensor:
        """eps_theta(z_t, t, text), B C H W, with gradient."""
        if ("tuned", text) not in self._known:
            output = self.backbone.predict(self.noised.z_t_BCHW, self.noised.timesteps_B, self.text(text))
            self._keep(("tuned", text), output.pred_BCHW)
        return self._known["tuned", text]

    def original(self, text: TextName) -> Tensor:
        """eps_theta0(z_t, t, text), B C H W, without gradient."""
        if ("original", text) not in self._known:
            assert self.reference is not None, "the configuration guarantees a reference path"
            read = reading(self.batch, text)
            output = self.reference.run(self.backbone, self.adapter, self.noised, read, NOTHING)
            self._keep(("original", text), output.pred_BCHW)
        return self._known["original", text]

    def changed(self) -> list[str]:
        """Predictions that were changed in place after they were computed, as they are called."""
        return [
            f"predictions.{model}({text!r})"
            for (model, text), tensor in self._known.items()
            if tensor._version != self._versions[model, text]
        ]

    def _keep(self, key: tuple[str, TextName], pred_BCHW: Tensor) -> None:
        self._known[key], self._versions[key] = pred_BCHW, pred_BCHW._version


def reading(batch: Batch, text: TextName) -> Conditioning:
    """What every row of the original model reads under `text`."""
    if text == "empty":
        return batch.empty_rows
    found = {"complete": batch.complete, "base": batch.base, "target": batch.target}[text]
    assert found is not None, "the engine encodes the target alone for terms that need it"
    return found
