"""gelu_tanh against float64, beside ATen's own float32 kernel; its unusual values, layouts and errors."""
import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from conftest import BUILD

LENGTHS = [0, 1, 15, 16, 17, 1000]


def draw(n, seed=0):
    return 4 * torch.randn(n, generator=torch.Generator().manual_seed(seed))


def exact(x, upstream):
    """Value and gradient in float64."""
    x = x.double().requires_grad_()
    y = F.gelu(x, approximate="tanh")
    return y.detach(), torch.autograd.grad(y, x, upstream.double())[0]


@pytest.mark.parametrize("n", LENGTHS)
def test_value_and_gradient_are_as_near_as_aten(ops, n):
    x, upstream = draw(n), draw(n, 1)
    leaf = x.clone().requires_grad_()
    y = ops.gelu_tanh(leaf)
    ours = y.detach(), torch.autograd.grad(y, leaf, upstream)[0]
    theirs = F.gelu(x, approximate="tanh"), torch.ops.aten.gelu_backward(upstream, x, approximate="tanh")
    for mine, aten, truth in zip(ours, theirs, exact(x, upstream)):
        error, naive = ((t.double() - truth).abs().max().item() if n else 0 for t in (mine, aten))
        assert error <= 2 * naive + 1e-7 * (truth.abs().max().item() if n else 0)


def test_relative_error_holds_in_the_tails(ops):
    x = torch.linspace(-8, 8, 4000)  # not through 0
    wide = x.double()
    # 1 + tanh cancels here, in float64 too; this form does not.
    truth = wide / (1 + torch.exp(-2 * math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
    assert ((ops.gelu_tanh(x).double() - truth).abs() / truth.abs()).max() < 1e-5


def test_infinities_and_nan(ops):
    x = torch.tensor([math.inf, 1e30, 100.0, 0.0, -0.0, -100.0, -1e30, math.nan])
    y = ops.gelu_tanh(x)
    assert y[:5].tolist() == [math.inf, x[1].item(), 100.0, 0.0, 0.0] and (y[5:7].abs() < 1e-6).all() and y[7].isnan()
    slope = ops.gelu_tanh_backward(torch.ones(5), torch.tensor([100.0, 0.0, -100.0, 1e4, -1e4]))
    torch.testing.assert_close(slope, torch.tensor([1.0, 0.5, 0.0, 1.0, 0.0]))


def test_layout_threads_and_repetition_change_no_bit(ops):
    x, upstream = draw(30000).view(100, 300), draw(30000, 1).view(100, 300)
    before = torch.get_num_threads()
    results = []
    try:
        for threads, a, g in ((1, x, upstream), (2, x, upstream), (3, x.t().contiguous().t(), upstream.t().contiguous().t())):
            torch.set_num_threads(threads)
            results.append((ops.gelu_tanh(a).contiguous(), ops.gelu_tanh_backward(g, a).contiguous()))
        expanded = ops.gelu_tanh_backward(torch.ones(1, 1).expand(100, 300), x)
        assert torch.equal(expanded, ops.gelu_tanh_backward(torch.ones(100, 300), x))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other))


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_computes_it(ops, isa, tmp_path):
    code = (f"import torch; torch.ops.load_library({str(BUILD / 'libadatape_ops.so')!r}); x = torch.linspace(-9, 9, 1001);"
            f"torch.save([torch.ops.adatape.gelu_tanh(x), torch.ops.adatape.gelu_tanh_backward(x, x)], {str(tmp_path / 'y')!r})")
    result = subprocess.run([sys.executable, "-c", code], env={**os.environ, "ADATAPE_CPU_ISA": isa}, capture_output=True, text=True)
    if result.returncode:
        assert isa != "baseline" and "ADATAPE_CPU_ISA" in result.stderr, result.stderr
        return
    x = torch.linspace(-9, 9, 1001)
    for mine, truth in zip(torch.load(tmp_path / "y"), exact(x, x)):
        torch.testing.assert_close(mine.double(), truth, rtol=1e-5, atol=1e-6)


def test_errors_name_the_argument(ops):
    x = torch.randn(4)
    for call, phrase in [(lambda: ops.gelu_tanh(x.double()), r"\[gelu_tanh\] x must be float32"),
                         (lambda: ops.gelu_tanh_backward(x.double(), x), r"\[gelu_tanh_backward\] grad must be float32"),
                         (lambda: ops.gelu_tanh_backward(torch.randn(5), x), r"\[gelu_tanh_backward\] grad has shape \[5\]")]:
        with pytest.raises(RuntimeError, match=phrase):
            call()
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(ops.gelu_tanh(leaf).sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match=r"\[gelu_tanh_backward\].*no second derivatives"):
        slope.sum().backward()
