"""Merge methods by mergekit's names: what a recipe may write under ``merge.method``.

Every class says how its fields become mergekit's parameters (:meth:`MethodConfig.shared` for all inputs,
:meth:`MethodConfig.per_input` for one of them) and how many inputs it takes. The arithmetic is mergekit's.
"""

from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import BeforeValidator, Field

from kt_resources.strict import Strict

Density = Annotated[float, Field(gt=0, le=1)]
"""Share of a task vector's entries that are kept."""

DType = Literal["float32", "bfloat16", "float16"]


class MethodConfig(Strict):
    """What all methods share.

    Attributes:
        dtype: precision of the arithmetic; the result is saved in the base model's own dtype.
        seed: seed of the methods that draw at random (DARE, DELLA).
    """

    num_inputs: ClassVar[tuple[int, int | None]] = (1, None)
    """Fewest and most inputs, the base model not counted."""
    uses_base: ClassVar[bool] = True
    """Whether the base model takes part in the arithmetic."""

    method: str
    dtype: DType = "float32"
    seed: int = 0

    def shared(self) -> dict[str, Any]:
        """mergekit's parameters for all inputs."""
        return {}

    def per_input(self, name: str) -> dict[str, Any]:
        """mergekit's parameters for the input of that ``name``."""
        return {}


class Weighted(MethodConfig):
    """A method with a weight for each input.

    Attributes:
        weights: weight by input name; an input without one weighs 1.
        normalize: divide by the sum of the weights.
    """

    weights: dict[str, float] = {}
    normalize: bool = True

    def shared(self) -> dict[str, Any]:
        return {"normalize": self.normalize}

    def per_input(self, name: str) -> dict[str, Any]:
        return {"weight": self.weights.get(name, 1.0)}


class TaskVectors(Weighted):
    """A method on task vectors (input minus base).

    Attributes:
        scale: mergekit's ``lambda``: the factor of the merged task vector.
    """

    scale: float = Field(default=1.0, alias="lambda")
    model_config = {**Weighted.model_config, "populate_by_name": True, "serialize_by_alias": True}

    def shared(self) -> dict[str, Any]:
        return {**super().shared(), "lambda": self.scale}


class Sparse(TaskVectors):
    """A method that keeps part of every task vector.

    Attributes:
        density: share of entries kept.
        densities: density by input name, where an input differs.
    """

    density: Density = 0.5
    densities: dict[str, Density] = {}

    def per_input(self, name: str) -> dict[str, Any]:
        return {**super().per_input(name), "density": self.densities.get(name, self.density)}


class Linear(Weighted):
    """Weighted mean of the weights (model soups, arXiv:2203.05482)."""

    uses_base: ClassVar[bool] = False
    method: Literal["linear"] = "linear"


class Slerp(MethodConfig):
    """Spherical interpolation between two models; ``t`` = 0 gives the first input, 1 the second."""

    num_inputs: ClassVar[tuple[int, int | None]] = (2, 2)
    uses_base: ClassVar[bool] = False
    method: Literal["slerp"] = "slerp"
    t: float = Field(default=0.5, ge=0, le=1)

    def shared(self) -> dict[str, Any]:
        return {"t": self.t}


class TaskArithmetic(TaskVectors):
    """base + λ·Σ wᵢ·(inputᵢ − base) (arXiv:2212.04089)."""

    method: Literal["task_arithmetic"] = "task_arithmetic"
    normalize: bool = False


class Ties(Sparse):
    """Trim, elect a sign, merge what agrees with it (arXiv:2306.01708; the paper keeps 20 %, λ = 1)."""

    method: Literal["ties"] = "ties"
    density: Density = 0.2


class DareTies(Sparse):
    """Drop entries at random and rescale, then elect signs as TIES does (arXiv:2311.03099)."""

    method: Literal["dare_ties"] = "dare_ties"
    normalize: bool = False


class DareLinear(Sparse):
    """Drop entries at random and rescale, then add (arXiv:2311.03099)."""

    method: Literal["dare_linear"] = "dare_linear"
    normalize: bool = False


class _Breadcrumbs(Sparse):
    """Attributes: gamma: share of the largest entries that is dropped as well."""

    normalize: bool = False
    density: Density = 0.9
    gamma: float = Field(default=0.01, ge=0, lt=1)

    def per_input(self, name: str) -> dict[str, Any]:
        return {**super().per_input(name), "gamma": self.gamma}


class Breadcrumbs(_Breadcrumbs):
    """Drop the smallest and the largest entries (arXiv:2312.06795)."""

    method: Literal["breadcrumbs"] = "breadcrumbs"


class BreadcrumbsTies(_Breadcrumbs):
    """Breadcrumbs, with TIES' election of signs."""

    method: Literal["breadcrumbs_ties"] = "breadcrumbs_ties"


class _Della(Sparse):
    """Attributes: epsilon: drop probabilities span density ± epsilon, by magnitude."""

    epsilon: float = Field(default=0.15, gt=0, lt=0.5)

    def per_input(self, name: str) -> dict[str, Any]:
        return {**super().per_input(name), "epsilon": self.epsilon}


class Della(_Della):
    """Drop by magnitude at random and rescale, then elect signs (arXiv:2406.11617)."""

    method: Literal["della"] = "della"


class DellaLinear(_Della):
    """DELLA without the election of signs."""

    method: Literal["della_linear"] = "della_linear"
    normalize: bool = False


class Sce(MethodConfig):
    """Select, calculate, erase (arXiv:2408.07990). Attributes: select_topk: share of entries kept by variance."""

    method: Literal["sce"] = "sce"
    select_topk: Density = 1.0

    def shared(self) -> dict[str, Any]:
        return {"select_topk": self.select_topk}


class ModelStock(MethodConfig):
    """Weights by the angles between task vectors (arXiv:2403.19522)."""

    num_inputs: ClassVar[tuple[int, int | None]] = (2, None)
    method: Literal["model_stock"] = "model_stock"


class Karcher(MethodConfig):
    """Riemannian mean of the weights."""

    uses_base: ClassVar[bool] = False
    method: Literal["karcher"] = "karcher"


class MultiSlerp(MethodConfig):
    """Barycentric interpolation on a sphere around the base model. Attributes: weights: by input name, else 1."""

    method: Literal["multislerp"] = "multislerp"
    weights: dict[str, float] = {}

    def per_input(self, name: str) -> dict[str, Any]:
        return {"weight": self.weights.get(name, 1.0)}


METHODS: dict[str, type[MethodConfig]] = {
    "linear": Linear,
    "slerp": Slerp,
    "task_arithmetic": TaskArithmetic,
    "ties": Ties,
    "dare_ties": DareTies,
    "dare_linear": DareLinear,
    "breadcrumbs": Breadcrumbs,
    "breadcrumbs_ties": BreadcrumbsTies,
    "della": Della,
    "della_linear": DellaLinear,
    "sce": Sce,
    "model_stock": ModelStock,
    "karcher": Karcher,
    "multislerp": MultiSlerp,
}


def _by_name(value: object) -> object:
    """``ties`` is short for ``{method: ties}``."""
    return {"method": value} if isinstance(value, str) else value


_Union: Any = Annotated[Union[tuple(METHODS.values())], Field(discriminator="method")]  # noqa: UP007 - built at run time
MergeMethod: Any = Annotated[_Union, BeforeValidator(_by_name)]
"""Any method: a mapping with ``method``, or the method's name alone."""


def problem_with_inputs(method: MethodConfig, names: list[str] | tuple[str, ...]) -> str | None:
    """Why ``names`` cannot be the inputs of ``method``; None where they can."""
    fewest, most = method.num_inputs
    if len(names) < fewest or (most is not None and len(names) > most):
        wanted = f"exactly {fewest}" if fewest == most else f"at least {fewest}"
        return f"{method.method} merges {wanted} inputs, {len(names)} given: {', '.join(names)}"
    per_name = [*getattr(method, "weights", {}), *getattr(method, "densities", {})]
    unknown = sorted(set(per_name) - set(names))
    if unknown:
        return f"weights or densities name {', '.join(unknown)}; the inputs are {', '.join(names)}"
    return None
