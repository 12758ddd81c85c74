"""The proof: gradient check, hooks, statistics, dependence, the checklist on broken networks, and the prompt."""

import contextlib
import io
import json
import math
import re
from pathlib import Path
from random import Random

import pytest
import torch
import torch._dynamo  # which torch.optim and gradcheck import at their first use
from hypothesis import given
from hypothesis import strategies as st
from phases.deep_learning_core.debugging_neural_networks import networks, ship_it

from shared.proof import assert_equivalent, assert_same_error, examples
from shared.proof import strategies as some

INF, NAN = math.inf, math.nan


@pytest.fixture
def frameworks(build_it, use_it):
    """(twin, its framework), for both."""
    chosen = torch.get_num_threads()
    yield tuple((twin, networks.framework(twin)) for twin in (build_it, use_it))
    torch.set_num_threads(chosen)


def against(twin, witness):
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


# ---- gradient check


def square(x):
    return x[0] ** 2 + 3 * x[0] * x[1]


def gradient_of_square(x):
    return [2 * x[0] + 3 * x[1], 3 * x[0]]


def test_central_differences_by_hand(build_it, use_it):
    """Powers of two, so that no digit is lost: the cube's error is exactly eps²."""
    for twin in (build_it, use_it):
        x = [1.0, 2.0]
        found = {
            "square": twin.numerical_gradient(square, x, 0.25),
            "cube": twin.numerical_gradient(lambda x: x[0] ** 3, [2.0], 0.5),
            "default": twin.numerical_gradient(lambda x: x[0] * (x[0] > 1), [1.0]),
            "kink": twin.numerical_gradient(lambda x: max(x[0], 0.0), [0.0], 0.125),
        }
        jump = [(1 + 1e-6) / 2e-6]
        expected = {"square": [8.0, 3.0], "cube": [12.25], "default": jump, "kink": [0.5]}
        assert_equivalent(found, expected, rtol=1e-9, atol=0.0, **against(twin, "by hand"))
        assert x == [1.0, 2.0]


def test_the_check_by_hand(build_it, use_it):
    for twin in (build_it, use_it):
        right = twin.gradient_check(square, gradient_of_square, [1.0, 2.0])
        assert right.passed is True and right.wrong == []
        swapped = twin.gradient_check(square, lambda x: [5 * x[0], 3 * x[1]], [1.0, 2.0], eps=0.25)
        expected = twin.GradientCheck(False, [0, 1], 1, 6.0, 3.0, 0.5)
        assert_equivalent(swapped, expected, **against(twin, "by hand"))


TOLERANCES = {  # name: (claimed, atol, rtol) → passed, for f = 4 x at 1, whose numerical gradient is exactly 4
    "equal": (4.0, 0.0, 0.0, True),
    "at the absolute edge": (4.5, 0.5, 0.0, True),
    "beyond the absolute edge": (4.5625, 0.5, 0.0, False),
    "at the relative edge": (6.0, 0.0, 0.5, True),
    "beyond the relative edge": (6.125, 0.0, 0.5, False),
    "relative to the numerical one": (1.75, 0.0, 0.5, False),
    "both add up": (4.75, 0.5, 0.0625, True),
    "both add up, beyond": (4.8125, 0.5, 0.0625, False),
    "default, absolute": (4.0 + 4.005e-3, 1e-5, 1e-3, True),
    "NaN": (NAN, 1e9, 1e9, False),
    "inf": (INF, 1e9, 1e9, False),
}


@pytest.mark.parametrize("case", TOLERANCES)
def test_tolerances_are_those_of_gradcheck(build_it, use_it, case):
    claimed, atol, rtol, passed = TOLERANCES[case]
    for twin in (build_it, use_it):
        found = twin.gradient_check(lambda x: 4 * x[0], lambda x: [claimed], [1.0], eps=0.25, atol=atol, rtol=rtol)
        assert (found.passed, found.wrong) == (passed, [] if passed else [0])
        relative = 0.0 if claimed == 4 else abs(claimed - 4) / max(claimed, 4) if claimed < INF else NAN
        assert_equivalent(found.relative_error, relative, **against(twin, "by hand"))


def test_defaults_of_the_check(build_it, use_it):
    """1.005e-5 off a slope of 0: the absolute tolerance; 4.005e-3 and 4.02e-3 off a slope of 4: both together."""
    for twin in (build_it, use_it):
        for slope, claimed, passed in (
            (0.0, 0.9e-5, True),
            (0.0, 1.1e-5, False),
            (4.0, 4 + 4.005e-3, True),
            (4.0, 4 + 4.02e-3, False),
        ):
            found = twin.gradient_check(lambda x, s=slope: s * x[0], lambda x, c=claimed: [c], [0.0])
            assert found.passed is passed


WORST = {  # name: (slopes, claimed) → the place of the worst
    "largest excess": ([1.0, 1.0, 1.0], [1.0, 2.5, 2.0], 1),
    "NaN before all": ([1.0, 1.0, 1.0], [9.0, NAN, 9.0], 1),
    "inf counts as NaN, and the first wins": ([1.0, 1.0, 1.0], [9.0, INF, NAN], 1),
    "in multiples of what is allowed": ([100.0, 1.0, 1.0], [101.0, 1.0, 1.5], 2),
    "negative": ([-100.0, 1.0, 1.0], [-101.0, 1.0, 0.5], 2),
}


def test_numbers_near_the_largest(build_it, use_it):
    """Both derivatives are 1.5e308, and their difference is finite, though their sum is not."""
    for twin in (build_it, use_it):
        found = twin.gradient_check(lambda x: 1.5e308 * x[0], lambda x: [1.5e308], [0.0], eps=0.25)
        assert found == twin.GradientCheck(True, [], 0, 1.5e308, 1.5e308, 0.0)


NOT_FINITE = {  # what f is above 1, where x is, and what is claimed: no comparison can say that these are right
    "differences overflow": (INF, 1.0),
    "both overflow": (INF, INF),
    "f is no number": (NAN, 0.0),
    "neither is a number": (NAN, NAN),
}


@pytest.mark.parametrize("case", NOT_FINITE)
def test_a_difference_that_is_not_finite_is_wrong(build_it, use_it, case):
    above, claimed = NOT_FINITE[case]
    for twin in (build_it, use_it):
        found = twin.gradient_check(lambda x: above if x[0] > 1 else 0.0, lambda x: [claimed], [1.0])
        expected = twin.GradientCheck(False, [0], 0, claimed, above, NAN)
        assert_equivalent(found, expected, **against(twin, "by hand"))


@pytest.mark.parametrize("case", WORST)
def test_the_worst_entry(build_it, use_it, case):
    slopes, claimed, worst = WORST[case]
    for twin in (build_it, use_it):
        found = twin.gradient_check(
            lambda x: sum(a * b for a, b in zip(slopes, x, strict=True)), lambda x: list(claimed), [0.5, 0.25, 2.0]
        )
        assert found.worst == worst


def test_no_tolerance_at_all(build_it, use_it):
    for twin in (build_it, use_it):
        first = twin.gradient_check(lambda x: 0.0, lambda x: [0.0, 2.0, 2.0], [1.0] * 3, atol=0, rtol=0)
        assert first == twin.GradientCheck(False, [1, 2], 1, 2.0, 0.0, 1.0)
        nothing = twin.gradient_check(lambda x: 0.0, lambda x: [0.0, 0.0], [1.0, 1.0], atol=0.0, rtol=0.0)
        assert nothing == twin.GradientCheck(True, [], 0, 0.0, 0.0, 0.0)


@given(
    st.lists(st.integers(-16, 16).map(lambda k: k / 8), min_size=1, max_size=4),
    some.seeds(),
    st.sampled_from([0.0, 1e-6, 1e-3, 0.5]),
)
@examples(12)
def test_the_check_on_random_functions(build_it, use_it, x, seed, fault):
    """A sum of sines and products, its gradient by hand, and a fault of random size in one entry."""
    rng = Random(seed)
    w = [rng.uniform(-2, 2) for _ in x]
    off = [fault * rng.choice([-1, 1]) if i == len(x) - 1 else 0.0 for i in range(len(x))]

    def f(x):
        return sum(math.sin(a * v) for a, v in zip(w, x, strict=True)) + math.prod(x)

    def gradient(x):
        others = [math.prod(x[:i] + x[i + 1 :]) for i in range(len(x))]
        return [a * math.cos(a * v) + o + d for a, v, o, d in zip(w, x, others, off, strict=True)]

    # tolerances in which the rounding of central differences, about 1e-10, cannot tip a verdict
    results = [twin.gradient_check(f, gradient, x, atol=3e-5, rtol=1e-3) for twin in (build_it, use_it)]
    assert_equivalent(results[0], results[1])
    assert results[0].passed or fault > 1e-6


def test_the_error_has_a_minimum_near_the_cube_root_of_epsilon(build_it, use_it):
    """For e^x at 1 the best step is (3 · 2⁻⁵³)^(1/3) = 7e-6; a thousand times more or less is much worse."""
    best = (3 * 2.0**-53) ** (1 / 3)
    for twin in (build_it, use_it):
        errors = {
            k: abs(twin.numerical_gradient(lambda x: math.exp(x[0]), [1.0], best * 10.0**k)[0] - math.e)
            for k in (-4, 0, 3)
        }
        assert errors[0] < 2e-10 and errors[-4] > 10 * errors[0]
        truncation = (best * 1e3) ** 2 * math.e / 6
        assert_equivalent(errors[3], truncation, rtol=1e-3, **against(twin, "h² f''' / 6"))  # terms in h⁴


# ---- the loss before training


def test_the_initial_loss(build_it, use_it):
    for twin in (build_it, use_it):
        found = [twin.expected_initial_loss(n) for n in (1, 2, 10)]
        assert_equivalent(found, [0.0, 0.6931471805599453, 2.302585092994046], **against(twin, "log n"))
        assert_equivalent(twin.expected_initial_loss(4, 2.0), math.log(4) + 1.5, **against(twin, "by hand"))
        assert_equivalent(twin.expected_initial_loss(1, 2.0), 0.0, **against(twin, "one class"))


def test_the_initial_loss_of_random_logits(build_it):
    rng, total, draws, n, std = Random(0), 0.0, 4000, 5, 0.4
    for _ in range(draws):
        logits = [rng.gauss(7, std) for _ in range(n)]
        total += math.log(sum(map(math.exp, logits))) - logits[0]
    # the mean of 4000 losses has a standard error of 0.006; the correction is 0.064
    assert abs(build_it.expected_initial_loss(n, std) - total / draws) < 0.02
    assert abs(math.log(n) - total / draws) > 0.04


# ---- dependence


MIXERS = {
    "each by itself": (lambda X: X * 2.0, "x.. .x. ..x"),
    "reshaped": (lambda X: X.T.reshape(3, 2), "xx. x.x .xx"),
    "running sum": (lambda X: X[[0, 0, 1]] + X, "x.. xx. .xx"),
    "less the batch's mean": (lambda X: X - X.mean(0), "xxx xxx xxx"),
    "softmax over samples": (lambda X: X.softmax(0), "xxx xxx xxx"),
    "softmax over classes": (lambda X: X.softmax(1), "x.. .x. ..x"),
    "order turned round": (lambda X: X[[2, 1, 0]], "..x .x. x.."),
    "one column": (lambda X: X.sum(1), "x.. .x. ..x"),
    "constant": (lambda X: X.relu() * 0.0, "x.. .x. ..x"),
    "three axes": (lambda X: X.unsqueeze(1), "x.. .x. ..x"),
}


@pytest.mark.parametrize("mixer", MIXERS)
def test_dependence(frameworks, mixer):
    f, pattern = MIXERS[mixer]
    X = [[1.0, -2.0], [3.0, 4.0], [-5.0, 0.5]]
    for twin, nn in frameworks:
        found = twin.dependence(lambda rows, nn=nn: f(nn.tensor(rows)), X)
        assert " ".join("".join("x" if d else "." for d in row) for row in found) == pattern
        assert X == [[1.0, -2.0], [3.0, 4.0], [-5.0, 0.5]]
        assert twin.dependence(lambda rows, nn=nn: nn.tensor(rows), [[1.0]]) == [[True]]


def test_dependence_is_the_pattern_of_the_jacobian(frameworks):
    """A third witness: where torch's Jacobian is not 0. Batch norm, and a smooth network on samples that mix."""
    functions = {
        "batch norm": lambda x: (x - x.mean(0)) / ((x - x.mean(0)) * (x - x.mean(0))).mean(0).sqrt(),
        "reshaped": lambda x: x.T.reshape(4, 3).tanh() * 2.0,
        "apart": lambda x: x.tanh() / (x * x).sum(1, True),
    }
    rng = Random(0)
    X = [[rng.gauss(0, 1) for _ in range(3)] for _ in range(4)]
    for name, f in functions.items():
        jacobian = torch.autograd.functional.jacobian(f, torch.tensor(X, dtype=torch.float64))
        expected = (jacobian != 0).any(3).any(1).tolist()
        for twin, nn in frameworks:
            found = twin.dependence(lambda rows, nn=nn, f=f: f(nn.tensor(rows)), X)
            assert_equivalent(found, expected, **against(twin, f"Jacobian, {name}"))


# ---- hooks


def small(nn, seed=0):
    """Two layers inside one, then a third: names with a dot."""
    rng = Random(seed)
    inner = nn.Sequential(nn.Linear(3, 4, rng=rng), nn.Tanh())
    return nn.Sequential(inner, nn.Linear(4, 2, rng=rng))


def batch(n=5, n_features=3, seed=1):
    rng = Random(seed)
    return [[rng.gauss(0, 1) for _ in range(n_features)] for _ in range(n)], [rng.randrange(2) for _ in range(n)]


def test_hooks_see_outputs_and_gradients(frameworks):
    X, y = batch()
    seen = []
    for twin, nn in frameworks:
        model = small(nn)
        records = twin.record(model, lambda nn=nn, model=model: nn.cross_entropy(model(nn.tensor(X)), y))
        seen.append(records)
        assert [(r.name, r.kind) for r in records] == [("0.0", "Linear"), ("0.1", "Tanh"), ("1", "Linear")]
        assert all(parameter.grad is None for parameter in model.parameters())
        logits = model(nn.tensor(X))
        assert_equivalent(records[-1].output, logits, **against(twin, "the model itself"))
        nn.cross_entropy(logits, y).backward()
        bias = [sum(column) for column in zip(*records[-1].gradient, strict=True)]
        assert_equivalent(bias, list(model.parameters())[-1].grad, **against(twin, "the bias's gradient"))
        assert len(records) == 3, "hooks must be gone"
        assert not any("forward" in vars(layer) for layer in (model[0][0], model[0][1], model[1]))
    assert_equivalent(*seen)


def test_hooks_against_finite_differences(frameworks):
    """dL/d(output of the first layer), summed over samples, is what moving its bias does."""
    X, y = batch()
    for twin, nn in frameworks[:1]:
        model = small(nn)
        records = twin.record(model, lambda nn=nn, model=model: nn.cross_entropy(model(nn.tensor(X)), y))
        bias = model.state_dict()["0.0.bias"]
        start = bias.data

        def loss(moved, nn=nn, model=model, bias=bias):
            bias.data = nn.tensor(moved).data
            return nn.cross_entropy(model(nn.tensor(X)), y).item()

        expected = twin.numerical_gradient(loss, list(start))
        found = [sum(column) for column in zip(*records[0].gradient, strict=True)]
        assert_equivalent(found, expected, rtol=1e-6, atol=1e-8, **against(twin, "finite differences"))


def test_hooks_on_layers_that_are_used_twice_or_cut_off(frameworks):
    X, y = batch(n_features=4)
    seen = []
    for twin, nn in frameworks:
        shared, relu, last = nn.Linear(4, 4, rng=Random(0)), nn.ReLU(), nn.Linear(4, 2, rng=Random(1))
        model = nn.Sequential(shared, relu, shared, last)

        def run(nn=nn, model=model):
            return nn.cross_entropy(model(nn.tensor(X)), y)

        def cut(nn=nn, model=model):
            return nn.cross_entropy(model[3](model[0](nn.tensor(X)).detach()), y)

        single = nn.Linear(4, 2, rng=Random(2))
        records = [
            twin.record(model, run),
            twin.record(model, cut),
            twin.record(single, lambda nn=nn, single=single: nn.cross_entropy(single(nn.tensor(X)), y)),
        ]
        assert [[r.name for r in rows] for rows in records] == [["0", "1", "0", "3"], ["0", "3"], [""]]
        assert records[1][0].gradient is None and records[1][1].gradient is not None
        seen.append(records)
        with pytest.raises(ValueError, match="loss"):
            twin.record(model, lambda nn=nn: nn.tensor(1.0))
        with pytest.raises(ZeroDivisionError):
            twin.record(model, lambda: 1 / 0)
        assert "forward" not in vars(shared)
        assert_equivalent(twin.record(model, run), records[0], **against(twin, "a second time"))
    assert_equivalent(*seen)


def test_old_gradients_do_not_get_into_the_records(frameworks):
    X, y = batch()
    for twin, nn in frameworks:
        model = small(nn)

        def run(nn=nn, model=model):
            return nn.cross_entropy(model(nn.tensor(X)), y)

        run().backward()
        first = twin.record(model, run)
        assert_equivalent(twin.record(model, run), first, **against(twin, "a clean start"))


# ---- statistics


def test_activation_statistics_by_hand(build_it, use_it):
    for twin in (build_it, use_it):
        relu = twin.activation_statistics([[0.0, 2.0, 0.0, 2.0], [0.0, 0.0, 4.0, 0.0]])
        sigmoid = twin.activation_statistics([[0.5, 0.98], [0.02, 0.03]], "Sigmoid")
        tanh = twin.activation_statistics([[-0.96, 0.94], [0.0, 0.999]], "Tanh")
        same = twin.activation_statistics([[1.0, 1.0, 3.0], [2.0, 2.0 + 1e-12, 2.0]], "Linear")
        one = twin.activation_statistics([[5.0]], "Linear")
        found = {
            "relu": relu,
            "sigmoid": sigmoid.saturated,
            "tanh": (tanh.saturated, tanh.dead, tanh.zeros),
            "same": (same.alike, same.saturated),
            "one": one,
            "nearly": twin.activation_statistics([[1.0, 1.0 + 1e-8]], "Linear").alike,
            "dead": twin.activation_statistics([[0.0, 0.0]]),
            "edge": twin.activation_statistics([[0.9486], [0.9488]], "Tanh").saturated,  # √0.9 = 0.94868
            "edge of a sigmoid": twin.activation_statistics([[0.0256], [0.0257]], "Sigmoid").saturated,
        }
        by_hand = {
            "relu": twin.ActivationStatistics(1.0, math.sqrt(2), 5 / 8, 1 / 4, 0.0, 1 / 2),
            "sigmoid": 0.5,
            "tanh": (0.5, 0.0, 0.25),
            "same": (2 / 3, 0.0),
            "one": twin.ActivationStatistics(5.0, 0.0, 0.0, 0.0, 0.0, 0.0),
            "nearly": 0.0,
            "dead": twin.ActivationStatistics(0.0, 0.0, 1.0, 1.0, 0.0, 1.0),
            "edge": 0.5,
            "edge of a sigmoid": 0.5,  # (1 - √0.9) / 2 = 0.02566
        }
        assert_equivalent(found, by_hand, **against(twin, "by hand"))


values = st.sampled_from([0.0, 0.0, 1.0, -1.0, 1000.0, -1000.0, 0.5, 0.99, -0.99])


@given(st.tuples(some.sizes(1, 4), some.sizes(1, 5)), st.sampled_from(["ReLU", "Sigmoid", "Tanh"]), st.data())
@examples(20)
def test_activation_statistics(build_it, use_it, shape, kind, data):
    H = data.draw(some.matrices(*shape, values))
    assert_equivalent(*(twin.activation_statistics(H, kind) for twin in (build_it, use_it)))


def test_gradient_statistics_by_hand(build_it, use_it):
    for twin in (build_it, use_it):
        found = {
            "matrix": twin.gradient_statistics(
                [[3.0, 0.0], [0.0, 4.0]], [[0.0, 6.0], [8.0, 0.0]], [[3.0, 0.6], [0.8, 4.0]]
            ),
            "none": twin.gradient_statistics([3.0, 4.0], None, [3.0, 4.0]),
            "from zero": twin.gradient_statistics([0.0], [1.0], [-0.5]),
            "zero": twin.gradient_statistics(0.0, 0.0, 0.0),
        }
        by_hand = {
            "matrix": twin.GradientStatistics(5.0, 10.0, 1.0, 0.2),
            "none": twin.GradientStatistics(5.0, 0.0, 0.0, 0.0),
            "from zero": twin.GradientStatistics(0.0, 1.0, 0.5, INF),
            "zero": twin.GradientStatistics(0.0, 0.0, 0.0, 0.0),
        }
        assert_equivalent(found, by_hand, **against(twin, "by hand"))


@given(st.tuples(some.sizes(1, 4), some.sizes(1, 4)), st.data())
@examples(15)
def test_gradient_statistics(build_it, use_it, shape, data):
    before, gradient, after = (data.draw(some.matrices(*shape)) for _ in range(3))
    assert_equivalent(*(twin.gradient_statistics(before, gradient, after) for twin in (build_it, use_it)))


# ---- one batch


@pytest.mark.parametrize(
    ("losses", "n_steps", "n_kept"),
    [
        ([2.0, 1.0, 0.5, 0.25], 3, 3),
        ([2.0], 1, 1),
        ([2.0, 300.0, 1.0], 3, 3),
        ([2.0, 301.0, 1.0], 3, 2),
        ([-2.0, -300.0, -301.0, 1.0], 4, 3),
        ([2.0, NAN, 1.0], 3, 2),
        ([NAN, 1.0], 2, 1),
        ([INF, 1.0], 2, 2),
    ],
)
def test_one_batch(build_it, use_it, losses, n_steps, n_kept):
    for twin in (build_it, use_it):
        kept = twin.overfit_one_batch(iter(losses).__next__, n_steps)
        assert_equivalent(kept, losses[:n_kept], **against(twin, "by hand"))


@pytest.mark.parametrize("name", ["Script", "WithTanh"])
def test_the_trajectory_of_one_batch(frameworks, name):
    X, y, *_ = networks.data()
    losses, parameters = [], []
    for twin, nn in frameworks:
        script = getattr(networks, name)(nn)
        losses.append(twin.overfit_one_batch(lambda script=script: script.step(X[:12], y[:12]), 100))
        parameters.append([parameter.tolist() for parameter in script.model.parameters()])
    for n in (1, 10, 100):
        assert_equivalent(losses[0][:n], losses[1][:n])
    assert_equivalent(*parameters)


# ---- the checklist


def findings(frameworks, name, seed=0, **options):
    X, y, *held_out = networks.data()
    return [
        twin.diagnose(lambda nn=nn: getattr(networks, name)(nn, seed), X, y, *held_out, **options)
        for twin, nn in frameworks
    ]


def failed(found):
    return [finding.check for finding in found if not finding.passed]


SHORT = {"batch_size": 9, "n_steps": 6, "n_epochs": 1}
EARLY = {  # what fails before the last two checks, which need more steps than SHORT has
    "WithTanh": [],
    "WithBatchNorm": [],
    "B": ["gradient"],
    "D": ["units alike", "without gradient"],
    "E": ["samples apart"],
    "J": ["inputs", "saturated units", "growth through depth"],
    "M": ["without gradient", "gradient"],
    "N": ["gradient"],
}


@pytest.mark.parametrize("name", EARLY)
def test_the_checklist_on_both_twins(frameworks, name):
    built, used = findings(frameworks, name, **SHORT)
    assert_equivalent(built, used)
    assert failed(built[:-2]) == EARLY[name]


def test_the_checklist_says_what_it_expects(build_it, use_it, frameworks):
    assert build_it.CHECKLIST == use_it.CHECKLIST
    for found in findings(frameworks, "C", **SHORT):
        assert [finding.check for finding in found] == list(build_it.CHECKLIST)
        assert failed(found)[:3] == ["dead units", "without gradient", "update ratio"]
        for finding in found:
            low, high, look_at = build_it.CHECKLIST[finding.check]
            assert (finding.at_least, finding.at_most, finding.look_at) == (low, high, look_at)
            assert finding.passed is (low <= finding.measured <= high)


class Unused(networks.Script):
    """A healthy network with a layer that nobody calls: no gradient is right for it, and a sign of a fault."""

    sizes = (13, 12, 12, 3, 3)

    def logits(self, X):
        hidden = self.inputs(X)
        for i in range(5):
            hidden = self.model[i](hidden)
        return hidden


def test_a_layer_that_is_not_used(frameworks, monkeypatch):
    monkeypatch.setattr(networks, "Unused", Unused, raising=False)
    for found in findings(frameworks, "Unused", **SHORT):
        assert failed(found[:-2]) == ["without gradient"] and found[7].measured == 2


class Constant(networks.Script):
    """Every gradient is there, and 0."""

    def logits(self, X):
        return super().logits(X) * 0.0


def test_all_gradients_are_zero(frameworks, monkeypatch):
    monkeypatch.setattr(networks, "Constant", Constant, raising=False)
    for found in findings(frameworks, "Constant", **SHORT):
        assert found[7].check == "without gradient" and found[7].measured == 6


class NothingSpreads(networks.Script):
    """The first layer gives the same for every sample and unit: growth starts from a spread of 0."""

    zeroed = 1

    def build(self):
        model = super().build()
        for i in (0, 2, 4)[: self.zeroed]:
            for parameter in model[i].parameters():
                parameter.data = (parameter.detach() * 0.0).data
        return model


@pytest.mark.parametrize(("zeroed", "growth"), [(1, INF), (3, 0.0)])
def test_growth_from_nothing(frameworks, monkeypatch, zeroed, growth):
    monkeypatch.setattr(networks, "NothingSpreads", NothingSpreads, raising=False)
    monkeypatch.setattr(NothingSpreads, "zeroed", zeroed)
    built, used = findings(frameworks, "NothingSpreads", **SHORT)
    assert_equivalent(built, used)
    assert {finding.check: finding.measured for finding in built}["growth through depth"] == growth


class Unnamed(networks.Script):
    """Layers of kinds that the checklist does not know by name."""

    activation = "Tanh"

    def linear(self, n_in, n_out):
        return type("Dense", (self.nn.Linear,), {})(n_in, n_out, rng=self.rng)


def test_layers_of_unknown_kinds(frameworks, monkeypatch):
    monkeypatch.setattr(networks, "Unnamed", Unnamed, raising=False)
    for found in findings(frameworks, "Unnamed", **SHORT):
        measured = {finding.check: finding.measured for finding in found}
        assert (measured["dead units"], measured["units alike"], measured["growth through depth"]) == (0.0, 0.0, 1.0)


class NoMatrix(networks.Script):
    """One number for each of three features, and no Linear: nothing that has two axes."""

    def build(self):
        nn = self.nn

        class Scale(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(nn.tensor([0.5, -0.5, 1.0]))

            def forward(self, x):
                return x * self.scale

        return Scale()

    def inputs(self, X):
        return self.nn.tensor([row[:3] for row in super().inputs(X).tolist()])


def test_a_network_without_matrices(frameworks, monkeypatch):
    monkeypatch.setattr(networks, "NoMatrix", NoMatrix, raising=False)
    built, used = findings(frameworks, "NoMatrix", **SHORT)
    assert_equivalent(built, used)
    measured = {finding.check: finding.measured for finding in built}
    assert (measured["update ratio"], measured["growth through depth"], measured["gradient"]) == (0.0, 1.0, 0.0)


def test_a_batch_of_one_is_enough(build_it, use_it):
    for twin in (build_it, use_it):
        with pytest.raises(ZeroDivisionError):  # from make, behind all checks of the arguments
            twin.diagnose(lambda: 1 / 0, [[1.0], [2.0]], [0, 1], [[3.0]], [1], batch_size=1)


def test_no_false_alarm(frameworks):
    X, y, *held_out = networks.data()
    twin, nn = frameworks[0]
    assert failed(twin.diagnose(lambda: networks.Script(nn, seed=1), X, y, *held_out)) == []


# ---- the prompt


def test_the_symptoms_that_ship(build_it, frameworks, tmp_path, monkeypatch):
    """Every number of the prompt is one that `diagnose` measured, with torch as well; two networks stand for all."""
    monkeypatch.setattr(ship_it, "HEALTHY", ())
    monkeypatch.setattr(ship_it, "FAULTS", {"F": "uphill", "H": "apart"})
    results = ship_it.ship(build_it, tmp_path)
    text = (tmp_path / "debug-a-network.md").read_text(encoding="utf-8")
    shipped = json.loads((tmp_path / "symptoms.json").read_text(encoding="utf-8"))
    (found,) = findings(frameworks[1:], "H")
    assert_equivalent(shipped["H"]["measured"], {finding.check: finding.measured for finding in found})
    assert shipped["H"]["failed"] == failed(found) == ["held-out loss"]
    assert shipped["F"]["measured"]["held-out loss"] is None, "JSON has no NaN"
    assert "| uphill | one batch 270, held-out loss nan |\n| apart | held-out loss 1 |" in text and "{{" not in text
    assert "Of 0 healthy networks, 0 fail a check." in text
    assert results["of them, with a check that fails"] == results["networks with a fault"] == 2


def run_prompt(up_to, **changed):
    """Run the blocks of the shipped prompt, with some of the first block's functions changed, and return its names.

    Args:
        up_to: the check to stop behind; None runs them all.
        changed: for a function of the first block what makes another, from the names so far.
    """
    artifact = Path(__file__).parents[3] / "outputs/prompts/debug-a-network/debug-a-network.md"
    blocks = re.findall(r"```python\n(.*?)```", artifact.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 10
    names, out = {"__name__": "prompt"}, io.StringIO()
    for i, block in enumerate(blocks):
        with contextlib.redirect_stdout(out):
            exec(compile(block, f"block {i}", "exec"), names)
        if i == 0:
            names |= {name: make(names) for name, make in changed.items()}
        if up_to in names["report"]:
            break
    return names | {"printed": out.getvalue()}


def never_cleared(names):
    def train_step(model, optimizer, X, y):
        loss = names["loss_of"](model, X, y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return train_step


def with_batch_norm(names):
    def make():
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(8, 24, bias=False), torch.nn.BatchNorm1d(24), torch.nn.ReLU(), torch.nn.Linear(24, 3)
        )
        return model, torch.optim.SGD(model.parameters(), lr=0.2)

    return make


def equal(layer):
    layer.weight.fill_(0.1)
    layer.bias.zero_()


def one_hidden_layer(activation, start):
    def change(names):
        def make():
            torch.manual_seed(0)
            layers = torch.nn.Linear(8, 24), activation(), torch.nn.Linear(24, 3)
            with torch.no_grad():
                start(layers[0])
            model = torch.nn.Sequential(*layers)
            return model, torch.optim.SGD(model.parameters(), lr=0.2)

        return make

    return change


def softmax_first(names):
    return lambda model, X, y: torch.nn.functional.cross_entropy(model(X).softmax(1), y)


def cut(names):
    return lambda model, X, y: torch.nn.functional.cross_entropy(model[2:](model[:2](X).detach()), y)


def shuffled_apart(names):
    def batches(X, y):
        apart = y[torch.randperm(len(y))]
        return ((X[i], apart[i]) for i in torch.arange(len(X)).split(12))

    return batches


ON_TORCH = {  # what is changed in the prompt's first block → what its report must say
    "nothing": ({}, []),
    "batch norm": ({"make": with_batch_norm}, []),
    "never cleared": ({"train_step": never_cleared}, ["gradient"]),
    "softmax first": ({"loss_of": softmax_first}, ["one batch"]),
    "cut": ({"loss_of": cut}, ["without gradient", "gradient"]),
    "shuffled apart": ({"batches": shuffled_apart}, ["held-out loss"]),
    "dead": (
        {"make": one_hidden_layer(torch.nn.ReLU, lambda layer: layer.bias.sub_(9))},
        ["dead units", "without gradient", "update ratio"],
    ),
    "saturated": ({"make": one_hidden_layer(torch.nn.Tanh, lambda layer: layer.weight.mul_(60))}, ["saturated units"]),
    "alike": (
        {"make": one_hidden_layer(torch.nn.Sigmoid, equal)},
        ["units alike"],
    ),
    "batch norm, no eval": (
        {"make": with_batch_norm, "predict": lambda names: lambda model, X: model(X)},
        ["samples apart"],
    ),
    "reshaped": ({"predict": lambda names: lambda model, X: model(X.T.reshape(X.shape))}, ["samples apart"]),
}


@pytest.mark.parametrize("case", ON_TORCH)
def test_every_block_of_the_prompt_runs(build_it, frameworks, case):
    changed, expected = ON_TORCH[case]
    names = run_prompt(expected[-1] if expected else None, **changed)
    checklist, report = build_it.CHECKLIST, names["report"]
    found = [check for check in checklist if check in report and not within(report[check], *checklist[check][:2])]
    assert found == expected
    if not expected:
        assert list(names["limits"].items()) == [(check, limits[:2]) for check, limits in checklist.items()]
        assert names["printed"].count("ok\n") == len(checklist) == len(report)


def within(value, low, high):
    return low <= value <= high


# ---- refused


def never_made():
    raise AssertionError("diagnose must refuse its arguments before it calls make")


def refused_diagnosis(twin, **changed):
    arguments = {"X": [[1.0], [2.0]], "y": [0, 1], "X_held_out": [[3.0]], "y_held_out": [1], "batch_size": 1} | changed
    return twin.diagnose(never_made, **arguments)


REFUSED = {
    "numerical_gradient, nothing": lambda twin: twin.numerical_gradient(sum, []),
    "numerical_gradient, eps 0": lambda twin: twin.numerical_gradient(sum, [1.0], 0.0),
    "numerical_gradient, eps NaN": lambda twin: twin.numerical_gradient(sum, [1.0], NAN),
    "numerical_gradient, eps inf": lambda twin: twin.numerical_gradient(sum, [1.0], INF),
    "gradient_check, nothing": lambda twin: twin.gradient_check(sum, list, []),
    "gradient_check, eps": lambda twin: twin.gradient_check(sum, list, [1.0], eps=-1.0),
    "gradient_check, atol": lambda twin: twin.gradient_check(sum, list, [1.0], atol=-1e-9),
    "gradient_check, rtol": lambda twin: twin.gradient_check(sum, list, [1.0], rtol=NAN),
    "gradient_check, too short": lambda twin: twin.gradient_check(sum, lambda x: [1.0], [1.0, 1.0]),
    "expected_initial_loss, classes": lambda twin: twin.expected_initial_loss(0),
    "expected_initial_loss, std": lambda twin: twin.expected_initial_loss(2, -0.5),
    "expected_initial_loss, std inf": lambda twin: twin.expected_initial_loss(2, INF),
    "dependence, nothing": lambda twin: twin.dependence(torch.tensor, []),
    "dependence, ragged": lambda twin: twin.dependence(torch.tensor, [[1.0], [1.0, 2.0]]),
    "dependence, rows lost": lambda twin: twin.dependence(lambda X: torch.tensor(X[1:]), [[1.0], [2.0]]),
    "activation_statistics, nothing": lambda twin: twin.activation_statistics([[]]),
    "activation_statistics, ragged": lambda twin: twin.activation_statistics([[1.0, 2.0], [1.0]]),
    "gradient_statistics, nothing": lambda twin: twin.gradient_statistics([], [], []),
    "gradient_statistics, gradient": lambda twin: twin.gradient_statistics([1.0, 2.0], [1.0], [1.0, 2.0]),
    "gradient_statistics, after": lambda twin: twin.gradient_statistics([1.0, 2.0], None, [1.0]),
    "overfit_one_batch, no step": lambda twin: twin.overfit_one_batch(lambda: 1.0, 0),
    "diagnose, labels": lambda twin: refused_diagnosis(twin, y=[0]),
    "diagnose, held out": lambda twin: refused_diagnosis(twin, y_held_out=[]),
    "diagnose, nothing held out": lambda twin: refused_diagnosis(twin, X_held_out=[], y_held_out=[]),
    "diagnose, one class": lambda twin: refused_diagnosis(twin, y=[0, 0], y_held_out=[0]),
    "diagnose, class unknown": lambda twin: refused_diagnosis(twin, y_held_out=[2]),
    "diagnose, batch too large": lambda twin: refused_diagnosis(twin, batch_size=3),
    "diagnose, batch empty": lambda twin: refused_diagnosis(twin, batch_size=0),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(build_it, use_it, case):
    assert_same_error(REFUSED[case], build_it, use_it)


MESSAGES = {  # a message names the argument, what was expected and what came, in this order; some only numbers
    "numerical_gradient, eps 0": r"eps .*\b0\b.* got 0\.0",
    "gradient_check, atol": r"atol .*\b0\b.* got -1e-09",
    "gradient_check, too short": r"gradient .*\b2\b.* got 1",
    "expected_initial_loss, classes": r"n_classes .*\b1\b.* got 0",
    "expected_initial_loss, std": r"logit_std .*\b0\b.* got -0\.5",
    "dependence, rows lost": r"f must .*\b2\b.* got 1",
    "gradient_statistics, gradient": r"\b2\D+1\D+2\b",
    "overfit_one_batch, no step": r"n_steps .*\b1\b.* got 0",
    "diagnose, labels": r"\b2\b.* \b1\b",
    "diagnose, class unknown": r"\b0\D+1\D+2\b",
    "diagnose, batch too large": r"batch_size .* 1 to 2, got 3",
}


@pytest.mark.parametrize("case", MESSAGES)
def test_refused_with_a_message_that_helps(build_it, case):
    with pytest.raises(ValueError, match=MESSAGES[case]):
        REFUSED[case](build_it)
