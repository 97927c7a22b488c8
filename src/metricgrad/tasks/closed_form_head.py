"""A trainable linear head in the space of a closed form: it begins as the closed form itself."""

from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad.projection import Projection

__all__ = ["ClosedFormHead"]


class ClosedFormHead(nn.Module):
    """Embed vectors: `head(form(x))`, where the form is fixed and the head begins with its leading directions.

    In the space of a closed form the directions have comparable spread, so that one learning rate suits them all. The
    embedding is not normalised; losses and retrieval metrics do that.

    Args:
        form: fitted on the fit split; its directions in falling order of importance, as those of LDA are.
        dim: of the embedding, at most as many as the form has directions.

    Raises:
        InputError: more dimensions than directions.

    Example:
        >>> import torch
        >>> from metricgrad.projection import PCA
        >>> form = PCA(dims=4).fit(torch.randn(50, 8, generator=torch.manual_seed(0)))
        >>> x = torch.randn(3, 8)
        >>> bool(torch.allclose(ClosedFormHead(form, dim=2)(x), form(x)[:, :2], atol=1e-6))
        True
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, form: Projection, *, dim: int) -> None:
        super().__init__()
        if dim > form.dims_out:
            raise fail(
                "ClosedFormHead", f"dim is {dim}", f"at most {form.dims_out}: the form has no more directions"
            )
        self.register_buffer("weight", form.weight.float())
        self.register_buffer("bias", form.bias.float())
        self.head = nn.Linear(form.dims_out, dim)
        nn.init.eye_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, vectors: Float[Tensor, "item feature"]) -> Float[Tensor, "item dim"]:
        """Return the embeddings."""
        seen = nn.functional.linear(nn.functional.normalize(vectors, dim=-1), self.weight, self.bias)
        return self.head(nn.functional.normalize(seen, dim=-1))
