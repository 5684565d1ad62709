"""The ops under torch's dispatcher: devices that differ, shapes without data, compilation, autocast."""
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from ops.inputs import bank, op_calls, run_select, sequences


def tensors_of(args, kwargs):
    """Positions (of args) and names (of kwargs) that hold tensors."""
    places = [i for i, a in enumerate(args) if isinstance(a, torch.Tensor)]
    return places + [name for name, a in kwargs.items() if isinstance(a, torch.Tensor)]


def move(args, kwargs, chosen):
    """The same call with the tensors at the chosen places on the meta device."""
    to = lambda place, a: a.to("meta") if place in chosen else a
    return [to(i, a) for i, a in enumerate(args)], {name: to(name, a) for name, a in kwargs.items()}


def test_every_mixture_of_devices_is_refused(ops):
    """One argument on meta, or one left behind: whichever of the two kernels the dispatcher takes."""
    for name, args, kwargs in op_calls():
        places = tensors_of(args, kwargs)
        for place in places:
            for chosen in ({place}, set(places) - {place}) if len(places) > 1 else ():
                mixed_args, mixed_kwargs = move(args, kwargs, chosen)
                with pytest.raises(RuntimeError, match=rf"^\[{name}\] \w+ is on (cpu|meta) but \w+ is on (cpu|meta); move"):
                    getattr(ops, name)(*mixed_args, **mixed_kwargs)


def test_meta_tensors_know_every_result(ops):
    for name, args, kwargs in op_calls():
        meta_args, meta_kwargs = move(args, kwargs, tensors_of(args, kwargs))
        ours, theirs = (f if isinstance(f, tuple) else (f,)
                        for f in (getattr(ops, name)(*meta_args, **meta_kwargs), getattr(ops, name)(*args, **kwargs)))
        for a, b in zip(ours, theirs, strict=True):
            assert a.is_meta and (a.shape, a.dtype, a.stride()) == (b.shape, b.dtype, b.stride()), name


def test_meta_tensors_are_checked_too(ops):
    meta = lambda *shape, **o: torch.empty(*shape, device="meta", **o)
    ints = dict(dtype=torch.int32)
    for name, args, phrase in [
        ("tape_select", (meta(2, 4), meta(2, 9, 5), None, None, 6, 2.0, 3), "keys has shape"),
        ("tape_select", (meta(2, 4), meta(9, 4), meta(3, **ints), None, 6, 2.0, 3), "bank_length has shape"),
        ("tape_select", (meta(2, 4), meta(9, 4), None, meta(8, dtype=torch.bool), 6, 2.0, 3), "blocked has shape"),
        ("tape_gather", (meta(9, 4), meta(2, 3, 1, **ints), meta(2, 3, 2), meta(3, **ints), 5), "weight has shape"),
        ("tape_gather", (meta(9, 4), meta(2, 3, 1, **ints), meta(2, 3, 1), meta(4, **ints), 5), "offsets has shape"),
        ("ragged_attention", (meta(5, 2, 8), meta(6, 2, 8), meta(7, 2, 8), meta(3, **ints), meta(3, **ints), 5, 5), "value has"),
        ("ragged_attention", (meta(5, 2, 8), meta(6, 2, 8), meta(6, 2, 8), meta(3, **ints), meta(4, **ints), 5, 5), "cu_seqlens_k"),
    ]:
        with pytest.raises(RuntimeError, match=rf"^\[{name}\] {phrase}"):
            getattr(ops, name)(*args)


def read_and_attend(ops, query, values, total):
    """A loss through all three ops, as a model chains them."""
    index, weight, length, ponder = run_select(ops, query, values[..., :8])
    offsets = torch.nn.functional.pad(length.cumsum(0), (1, 0)).int()
    tape = ops.tape_gather(values, index, weight, offsets, total)
    heads = tape.view(-1, 2, 6)
    out, _ = ops.ragged_attention(heads, heads, heads, offsets, offsets, 8, 8)
    return out.square().sum() + ponder.sum()


def test_the_number_of_tape_rows_may_be_unknown_when_traced(ops):
    with FakeTensorMode(shape_env=ShapeEnv()):
        query, values = torch.randn(3, 8), torch.randn(3, 20, 12)
        index, weight, length, _ = run_select(ops, query, values[..., :8])
        offsets = torch.nn.functional.pad(length.cumsum(0), (1, 0)).int()
        tape = ops.tape_gather(values, index, weight, offsets, offsets[-1].item())
        out, _ = ops.ragged_attention(*[tape.view(-1, 2, 6)] * 3, offsets, offsets, 8, 8)
    assert not isinstance(tape.shape[0], int) and tape.shape[1] == 12 and out.shape[1:] == (2, 6)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.full)])
def test_compiled_chain_gives_the_same_gradients(ops, backend):
    compiled = torch.compile(read_and_attend, backend=backend, fullgraph=True, dynamic=True)
    for batch, rows in ((3, 20), (5, 31)):
        query, keys = bank(batch, rows, 12, seed=batch, dtype=torch.float32)
        grads = []
        for f in (read_and_attend, compiled):
            leaves = [query[:, :8].clone().requires_grad_(), keys.clone().requires_grad_()]
            grads.append(torch.autograd.grad(f(ops, *leaves, 8 * batch), leaves))
        for a, b in zip(*grads):
            torch.testing.assert_close(a, b)


def test_autocast_selects_in_float32_and_attends_in_the_lower_precision(ops):
    query, keys = bank(3, 20, 8, dtype=torch.float32)
    q, k, v, cu, _, n, _ = sequences([3, 4], [3, 4], dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        selected = run_select(ops, query.requires_grad_(), keys.bfloat16())
        out, lse = ops.ragged_attention(q, k.bfloat16(), v, cu, cu, n, n)
    assert all(torch.equal(a, b) for a, b in zip(selected, run_select(ops, query, keys.bfloat16().float())))
    assert out.dtype == torch.bfloat16 and lse.dtype == torch.float32
    assert torch.equal(out, ops.ragged_attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), cu, cu, n, n)[0])
    assert torch.autograd.grad(selected[1].square().sum(), query)[0].dtype == torch.float32
