"""Functions of functions: gradients, Jacobians and batches of what a function computes, without touching ``.grad``.

:func:`grad`, :func:`vjp`, :func:`jvp`, :func:`jacrev`, :func:`hessian` and :func:`vmap` return functions and can be
nested. They stand on the graph that `backward` uses. :func:`vmap` calls the function on each item of a batch in turn,
so that it may contain anything, branches on values too; it is no faster than the loop that it replaces.

Example:
    >>> x = tensor([1.0, 2.0])
    >>> func.grad(lambda x: (x ** 2).sum())(x)
    tensor([2., 4.])
    >>> func.vmap(func.grad(lambda x: x ** 3))(x)
    tensor([ 3., 12.])
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import autograd
from bulssi.nn.utils import stateless
from bulssi.utils import _pytree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bulssi import Tensor

__all__ = [
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "vjp",
    "vmap",
]

_depth = 0  # how many derivatives are being taken around this call


# ---- what they share -------------------------------------------------------------------------------------------------


@contextmanager
def _inside() -> Iterator[bool]:
    """The calls of a function whose derivative is taken; gives whether another one's is, around it."""
    global _depth
    _depth += 1
    try:
        with bulssi.enable_grad():
            yield _depth > 1
    finally:
        _depth -= 1


def _check_tensor(value: Any) -> None:
    if not isinstance(value, bulssi.Tensor):
        raise ValueError(f"Thing passed to transform API must be Tensor, got {type(value)}")


def _variable(value: Any) -> Tensor:
    """Another tensor on the same values, to differentiate by."""
    _check_tensor(value)
    if value.requires_grad:
        return value.view_as(value)
    if not value.is_floating_point():
        raise RuntimeError("only Tensors of floating point dtype can require gradients")
    return value.detach().requires_grad_()


def _chosen(args: tuple[Any, ...], argnums: Any) -> tuple[int, ...]:
    """The positions that `argnums` names.

    Raises:
        RuntimeError: there is no such argument, or one is named twice.
    """
    if not isinstance(argnums, (int, tuple)) or (isinstance(argnums, tuple) and not argnums):
        raise RuntimeError(f"argnum must be int or a non-empty tuple of ints, got {argnums!r}")
    chosen = []
    for argnum in (argnums,) if isinstance(argnums, int) else argnums:
        if not -len(args) <= argnum < len(args):
            raise RuntimeError(f"Got argnum={argnum}, but only {len(args)} positional inputs")
        chosen.append(argnum % len(args))
    if len(set(chosen)) < len(chosen):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return tuple(chosen)


def _with_variables(args: tuple[Any, ...], chosen: tuple[int, ...]) -> tuple[list[Any], list[Tensor], list[Any]]:
    """The arguments with new variables at the chosen places, the variables, and the nesting of each place."""
    given, variables, specs = list(args), [], []
    for place in chosen:
        leaves, spec = _pytree.tree_flatten(given[place])
        fresh = [_variable(leaf) for leaf in leaves]
        given[place] = _pytree.tree_unflatten(fresh, spec)
        variables += fresh
        specs.append(spec)
    return given, variables, specs


def _others_matter(outputs: list[Tensor], variables: list[Tensor]) -> bool:
    """Whether the outputs have gradients with respect to tensors that are not among the variables."""
    own = {id(v) for v in variables if v.is_leaf}
    if any(not v.is_leaf for v in variables):
        return True
    seen, waiting = set(), [out.grad_fn for out in outputs if out.grad_fn is not None]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in own:
            return True
        waiting += [following for following, _ in node.next_functions if following is not None]
    return False


def _gradients(
    outputs: list[Tensor], variables: list[Tensor], cotangents: list[Any], keep: bool, retain: bool = True
) -> list[Tensor]:
    """Gradients of the outputs with respect to the variables, zeros where there is none."""
    pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad]
    found: Any = [None] * len(variables)
    if pairs:
        used, weights = [o for o, _ in pairs], [c for _, c in pairs]
        found = autograd.grad(used, variables, weights, retain_graph=retain, create_graph=keep, allow_unused=True)
    return [bulssi.zeros_like(v) if g is None else g for v, g in zip(variables, found, strict=True)]


def _outside(tree: Any, keep: bool) -> Any:
    """A result as the caller sees it: without a graph unless something around it needs one."""
    return tree if keep else _pytree.tree_map(lambda x: x.detach() if isinstance(x, bulssi.Tensor) else x, tree)


def _called(func: Callable[..., Any], given: list[Any], kwargs: dict[str, Any], has_aux: bool) -> tuple[Any, Any]:
    output = func(*given, **kwargs)
    if not has_aux:
        return output, None
    if not isinstance(output, tuple) or len(output) != 2:
        raise RuntimeError(
            "(f)(*args): output of function f should be a tuple: (output, aux) if has_aux is True\n"
            f"got {type(output).__name__}"
        )
    for leaf in _pytree.tree_leaves(output[1]):
        if not isinstance(leaf, bulssi.Tensor):
            raise RuntimeError(f"Expected tensors, got unsupported type {type(leaf)}")
    return output


def _called_at(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], argnums: Any, has_aux: bool
) -> tuple[list[Tensor], list[Any], Any, Any]:
    """Calls with new variables at `argnums`: the variables, the nesting of each argument, the output, and what else."""
    given, variables, specs = _with_variables(args, _chosen(args, argnums))
    output, aux = _called(func, given, kwargs, has_aux)
    return variables, specs, output, aux


def _output_leaves(output: Any, caller: str) -> tuple[list[Tensor], Any]:
    leaves, spec = _pytree.tree_flatten(output)
    for leaf in leaves:
        if not isinstance(leaf, bulssi.Tensor):
            raise RuntimeError(f"{caller}: expected f(*args) to return only tensors, got unsupported type {type(leaf)}")
    return leaves, spec


def _shaped(flat: list[Any], specs: list[Any], argnums: Any) -> Any:
    """What belongs to the variables, in the form of the arguments."""
    parts, start = [], 0
    for spec in specs:
        parts.append(_pytree.tree_unflatten(flat[start : start + spec.num_leaves], spec))
        start += spec.num_leaves
    return parts[0] if isinstance(argnums, int) else tuple(parts)


# ---- gradients -------------------------------------------------------------------------------------------------------


def grad_and_value(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of ``func``, and its value: ``(gradient, value)``.

    With ``has_aux`` the second is ``(value, aux)``. See :func:`grad`.
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with _inside() as nested:
            variables, specs, output, aux = _called_at(func, args, kwargs, argnums, has_aux)
            if not isinstance(output, bulssi.Tensor):
                raise RuntimeError(
                    f"grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got {type(output)}"
                )
            if output.dim() != 0:
                raise RuntimeError(
                    "grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor with "
                    f"{output.dim()} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
                )
            keep = nested or _others_matter([output], variables)
            found = _gradients([output], variables, [None], keep, retain=keep)
        gradient, value = _shaped(found, specs, argnums), _outside(output, keep)
        return (gradient, (value, _outside(aux, keep))) if has_aux else (gradient, value)

    return wrapped


def grad(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of ``func``, which returns a tensor of no dimension.

    Args:
        argnums: by which argument, a position; for several a tuple, and the gradients are a tuple.
        has_aux: ``func`` returns ``(value, aux)``, and the new function ``(gradient, aux)``.

    An argument may be a container of tensors: its gradient is one of the same form.

    Example:
        >>> func.grad(func.grad(lambda x: x ** 3))(tensor(2.0))
        tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of ``func(*primals)``, and a function from cotangents to gradients, one for each of ``primals``.

    Returns:
        ``(value, vjp_fn)``, or with ``has_aux`` ``(value, vjp_fn, aux)``.

    Example:
        >>> value, pull = func.vjp(lambda x: 2 * x, tensor([1.0, 2.0]))
        >>> pull(tensor([1.0, 0.0]))
        (tensor([2., 0.]),)
    """
    with _inside() as nested:
        given, variables, specs = _with_variables(primals, tuple(range(len(primals))))
        output, aux = _called(func, given, {}, has_aux)
        leaves, spec = _output_leaves(output, "vjp(f, *primals)")
        around = nested or _others_matter(leaves, variables)

    def pull(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given_leaves, given_spec = _pytree.tree_flatten(cotangents)
        if given_spec != spec:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the "
                f"function. cotangents: {given_spec!r}, primal output: {spec!r}"
            )
        keep = around or any(c.requires_grad for c in given_leaves) if create_graph is None else create_graph
        return _shaped(_gradients(leaves, variables, given_leaves, keep, retain_graph), specs, None)

    value = _outside(output, around)
    return (value, pull, _outside(aux, around)) if has_aux else (value, pull)


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """The value of ``func(*primals)``, and its derivative in the direction of ``tangents``.

    Returns:
        ``(value, derivative)``, or with ``has_aux`` ``(value, derivative, aux)``.

    Example:
        >>> func.jvp(lambda x: x ** 2, (tensor(3.0),), (tensor(1.0),))
        (tensor(9.), tensor(6.))
    """
    for what, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple):
            raise RuntimeError(
                f"jvp(f, primals, tangents): Expected {what} to be a tuple. "
                "E.g. it should be valid to call f(*primals)."
            )
    directions, direction_spec = _pytree.tree_flatten(tangents)
    if direction_spec != _pytree.tree_structure(primals):
        raise RuntimeError("jvp(f, primals, tangents): Expected primals and tangents to have the same python structure")
    with _inside() as nested:
        given, variables, _ = _with_variables(primals, tuple(range(len(primals))))
        output, aux = _called(func, given, {}, has_aux)
        leaves, spec = _output_leaves(output, "jvp(f, primals, tangents)")
        keep = nested or any(d.requires_grad for d in directions) or _others_matter(leaves, variables)
        # The gradient is linear in the cotangents: its derivative by them, along the tangents, is the product.
        cotangents = [bulssi.zeros_like(leaf, requires_grad=True) for leaf in leaves]
        back = _gradients(leaves, variables, list(cotangents), keep=True)
        forward = _gradients(back, cotangents, directions, keep)
    value = _outside(output, keep)
    derivative = _pytree.tree_unflatten(forward, spec)
    return (value, derivative, _outside(aux, keep)) if has_aux else (value, derivative)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The value of ``func(*primals)``, and the function from tangents to the derivative in their direction."""
    value = func(*primals)

    def push(*tangents: Any) -> Any:
        return jvp(func, primals, tangents)[1]

    return value, push


def jacrev(
    func: Callable[..., Any],
    argnums: Any = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """A function that gives the Jacobian of ``func``: of shape ``(*output, *input)``, a row for each number put out.

    Args:
        argnums, has_aux: as in :func:`grad`.
        chunk_size: how many rows PyTorch computes at once; here they come one after the other.

    Where the output or an argument is a container, the result is one of that form, output first.

    Example:
        >>> func.jacrev(lambda x: x ** 2)(tensor([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with _inside() as nested:
            variables, specs, output, aux = _called_at(func, args, kwargs, argnums, has_aux)
            leaves, spec = _output_leaves(output, "jacrev(f, ...)(*args)")
            keep = nested or _others_matter(leaves, variables)
            jacobians = [_shaped(_rows(leaf, variables, keep), specs, argnums) for leaf in leaves]
        result = _pytree.tree_unflatten(jacobians, spec)
        return (result, _outside(aux, keep)) if has_aux else result

    return wrapped


def _rows(output: Tensor, variables: list[Tensor], keep: bool) -> list[Tensor]:
    """The Jacobians of one output with respect to the variables."""
    if output.numel() == 0:
        return [v.new_zeros(output.shape + v.shape) for v in variables]
    rows: list[list[Tensor]] = [[] for _ in variables]
    for index in range(output.numel()):
        cotangent = bulssi.zeros(output.numel(), dtype=output.dtype)
        cotangent[index] = 1
        for row, g in zip(rows, _gradients([output], variables, [cotangent.view(output.shape)], keep), strict=True):
            row.append(g)
    return [bulssi.stack(r).view(output.shape + v.shape) for r, v in zip(rows, variables, strict=True)]


def jacfwd(
    func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable[..., Any]:
    """A function that gives the Jacobian of ``func``: as :func:`jacrev`, by rows too."""
    return jacrev(func, argnums, has_aux=has_aux)


def hessian(func: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
    """A function that gives the second derivatives of ``func``, the Jacobian of its Jacobian.

    Example:
        >>> func.hessian(lambda x: (x ** 3).sum())(tensor([1.0, 2.0]))
        tensor([[ 6.,  0.],
                [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """The function. (PyTorch rewrites its in-place operations for compilers.)"""
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. Valid options are:\n"
            "     remove='mutations': all inplace and out= operators will be removed from the program\n"
            "     remove='mutations_and_views': all aliasing operators will be removed, too"
        )
    return func


# ---- batches ---------------------------------------------------------------------------------------------------------


def _spread(prefix: Any, tree: Any, spec: Any) -> list[Any] | None:
    """One value for each leaf of `tree`, from a container that may stop above the leaves; None if they do not fit."""
    if prefix is None or isinstance(prefix, int):
        return [prefix] * spec.num_leaves
    children, context = _pytree.tree_flatten(prefix, is_leaf=lambda x: x is not prefix)
    whole, whole_spec = _pytree.tree_flatten(tree, is_leaf=lambda x: x is not tree)
    if context != whole_spec or len(children) != len(spec.children_specs):
        return None
    out: list[Any] = []
    for part, inner, inner_spec in zip(children, whole, spec.children_specs, strict=True):
        found = _spread(part, inner, inner_spec)
        if found is None:
            return None
        out += found
    return out


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that applies ``func`` to each item of batches, and stacks the results.

    Args:
        in_dims: the dimension of the items, for all arguments or in containers of their form; None gives an argument
            to every call as it is.
        out_dims: where the results are stacked.
        randomness: ``"error"`` refuses random operations, ``"different"`` draws anew for every item, ``"same"`` draws
            the same.
        chunk_size: how many items PyTorch computes at once; here they come one after the other.

    Raises:
        ValueError: the arguments do not fit ``in_dims``, or have batches of different sizes.
        RuntimeError: a random operation under ``randomness="error"``.

    Example:
        >>> func.vmap(dot)(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([[1.0, 1.0], [0.0, 1.0]]))
        tensor([3., 4.])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    name = getattr(func, "__name__", repr(func))

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, dims, spec, count = _batches(name, args, in_dims)
        state: Any = bulssi.get_rng_state() if randomness != "different" else None
        results: list[list[Any]] = []
        places: list[Any] = []
        out_spec: Any = None
        for index in range(count):
            if randomness == "same" and index:
                bulssi.set_rng_state(state)
            item = [x if d is None else x.select(d, index) for x, d in zip(leaves, dims, strict=True)]
            output = func(*_pytree.tree_unflatten(item, spec), **kwargs)
            if randomness == "error" and index == 0 and not bulssi.equal(state, bulssi.get_rng_state()):
                bulssi.set_rng_state(state)
                raise RuntimeError(
                    "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
                    "'different' randomness flags on vmap or perform the randomness operation out of vmap"
                )
            found, out_spec = _pytree.tree_flatten(output)
            places = _places(name, output, found, out_spec, out_dims)
            results.append(found)
        stacked = []
        for values, place in zip(zip(*results, strict=True), places, strict=True):
            stacked.append(values[0] if place is None else bulssi.stack(values, place))
        return _pytree.tree_unflatten(stacked, out_spec)

    return wrapped


def _batches(name: str, args: tuple[Any, ...], in_dims: Any) -> tuple[list[Any], list[Any], Any, int]:
    """The leaves of the arguments, their dimensions of items, the nesting, and the number of items."""
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a (potentially nested) "
            f"tuple matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a "
            "function with no inputs. The latter is unsupported."
        )
    leaves, spec = _pytree.tree_flatten(args)
    start = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): "
    given = _spread(in_dims, args, spec)
    if given is None:
        shown = _pytree.tree_structure(in_dims)
        raise ValueError(
            f"{start}in_dims is not compatible with the structure of `inputs`. in_dims has structure {shown} but "
            f"inputs has structure {spec}."
        )
    dims: list[Any] = []
    for leaf, dim in zip(leaves, given, strict=True):
        if dim is not None and not isinstance(leaf, bulssi.Tensor):
            raise ValueError(
                f"{start}Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot vmap over "
                "non-Tensor arguments, please use None as the respective in_dim"
            )
        if dim is not None and not -leaf.dim() <= dim < leaf.dim():
            raise ValueError(
                f"{start}Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {leaf.dim()} so "
                f"expected in_dim to satisfy -{leaf.dim()} <= in_dim < {leaf.dim()}."
            )
        dims.append(dim)
    sizes = [x.size(d) for x, d in zip(leaves, dims, strict=True) if d is not None]
    if not sizes:
        raise ValueError(f"{start}at least one input must be a batch; all in_dims are None")
    if len(set(sizes)) > 1:
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the "
            "mapped dimension"
        )
    if sizes[0] == 0:
        raise ValueError(f"{start}a batch without items: there is nothing to call the function on")
    return leaves, dims, spec, sizes[0]


def _places(name: str, output: Any, leaves: list[Any], spec: Any, out_dims: Any) -> list[Any]:
    """Where the results are stacked."""
    places = _spread(out_dims, output, spec)
    if places is None and isinstance(out_dims, tuple) and len(out_dims) == 1 and spec.is_leaf():
        places = list(out_dims)
    if places is None:
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of "
            f"`outputs`. out_dims has structure {_pytree.tree_structure(out_dims)} but outputs has structure {spec}."
        )
    for leaf, place in zip(leaves, places, strict=True):
        if place is not None and not isinstance(leaf, bulssi.Tensor):
            raise ValueError(
                f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(leaf)}. Did you mean to set "
                "out_dims= to None for output?"
            )
    return places


# ---- modules ---------------------------------------------------------------------------------------------------------


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with other parameters and buffers, from one dictionary by path or from several.

    See `nn.utils.stateless.functional_call`.
    """
    given = parameter_and_buffer_dicts
    if not isinstance(given, dict):
        merged: dict[str, Any] = {}
        for each in given:
            if not isinstance(each, dict):
                raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
            if twice := sorted(merged.keys() & each.keys()):
                raise ValueError(f"{twice} appeared in multiple dictionaries; behavior of functional call is ambiguous")
            merged.update(each)
        given = merged
    return stateless.functional_call(module, given, args, kwargs, tie_weights=tie_weights, strict=strict)


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and buffers of modules of one kind, stacked by path: for an ensemble under :func:`vmap`.

    Raises:
        RuntimeError: no modules, modules of several classes, or in different modes.
    """
    modules = list(models)
    if not modules:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if any(m.training != modules[0].training for m in modules):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if any(type(m) is not type(modules[0]) for m in modules):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")

    def stacked(name: str, all_of: list[dict[str, Tensor]]) -> Tensor:
        tensors = [each[name] for each in all_of]
        wanted = {t.requires_grad for t in tensors}
        if len(wanted) > 1:
            raise RuntimeError(
                f"Expected {name} from each model to have the same .requires_grad\nit differs between the models"
            )
        return bulssi.stack([t.detach() for t in tensors]).requires_grad_(wanted.pop())

    parameters = [dict(m.named_parameters()) for m in modules]
    buffers = [dict(m.named_buffers()) for m in modules]
    return (
        {name: stacked(name, parameters) for name in parameters[0]},
        {name: stacked(name, buffers) for name in buffers[0]},
    )


def replace_all_batch_norm_modules_(root: Any) -> Any:
    """Makes all batch norms use the statistics of the batch only, without running ones. Returns the module."""
    for module in root.modules():
        if isinstance(module, bulssi.nn.modules.batchnorm._BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
