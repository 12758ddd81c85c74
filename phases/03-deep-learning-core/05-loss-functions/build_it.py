"""Loss functions and their gradients on the standard library alone: stable forms, and two textbook forms that break.

Every loss has one shape, `loss, gradient = some_loss(inputs, targets, reduction=..., upstream=...)`: it computes one
loss for each sample and its slope, and leaves the rest to `reduce_losses`.
"""

import math
from operator import mul

__all__ = [
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "hinge_loss",
    "huber_loss",
    "info_nce",
    "kl_div",
    "l1_loss",
    "log_softmax",
    "log_sum_exp",
    "mse_loss",
    "multi_margin_loss",
    "reduce_losses",
    "textbook_binary_cross_entropy",
    "textbook_cross_entropy",
    "triplet_margin_loss",
]

Vector = list[float]
Matrix = list[list[float]]

COSINE_EPSILON = 9.999999960041972e-13  # 1e-12 as a 32-bit float: torch adds it to each squared length of a cosine
DISTANCE_EPSILON = 1e-6  # torch adds it to each coordinate of the difference in triplet_margin_loss


# ---- one number out of many


def reduce_losses(
    losses: Vector, reduction: str = "mean", upstream: float | Vector = 1.0, *, divisor: float | None = None
) -> tuple[float | Vector, Vector]:
    """One loss out of the losses of n samples, and what it hands back to each of them.

    Args:
        losses: one for each sample, n numbers.
        reduction: "none" keeps them, "sum" adds them up, "mean" divides the sum by `divisor`.
        upstream: dJ/d(result), where J is what you differentiate in the end: a number, or, with "none", a number for
            all losses or one for each. 1.0 asks for the gradient of the result itself.
        divisor: what "mean" divides by; n where it is None.

    Returns:
        The result, and dJ/d(losses[i]) for each i: what the slope of loss i is to be multiplied by.

    Raises:
        ValueError: `losses` is no non-empty list of numbers, `reduction` is unknown, `upstream` is neither a finite
            number nor, with "none", n of them, or "mean" is to divide by something that is not positive and finite.
    """
    if not losses or not all(isinstance(loss, int | float) for loss in losses):
        raise ValueError(f"losses must be a non-empty list of numbers, got {losses!r}")
    _check_reduction(reduction)
    _check_upstream(upstream, losses, reduction)
    if reduction == "none":
        return losses, upstream if isinstance(upstream, list) else [upstream] * len(losses)
    if reduction == "sum":
        return sum(losses), [upstream] * len(losses)
    n = len(losses) if divisor is None else divisor
    _check_positive("divisor", n)
    return sum(losses) / n, [upstream / n] * len(losses)


def _chain(
    losses: Vector, slopes: list, reduction: str, upstream: float | Vector, divisor: float | None = None
) -> tuple[float | Vector, list]:  # given
    """The reduced loss, and each slope (a number, or a row of numbers) times what its loss is handed back."""
    loss, scales = reduce_losses(losses, reduction, upstream, divisor=divisor)
    return loss, [
        [scale * s for s in slope] if isinstance(slope, list) else scale * slope
        for scale, slope in zip(scales, slopes, strict=True)
    ]


# ---- regression: functions of the error, prediction - target


def mse_loss(
    predictions: Vector, targets: Vector, *, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Vector]:
    """Squared error e² with e = prediction - target; slope 2e. A square too large for a float is inf, as in torch.

    Args:
        predictions: n numbers.
        targets: n numbers.
        reduction: as in `reduce_losses`.
        upstream: as in `reduce_losses`.

    Returns:
        The loss (n losses with "none"), and dJ/d(predictions), n numbers.

    Raises:
        ValueError: predictions and targets are not two non-empty lists of as many finite numbers, or as
            `reduce_losses`.
    """
    errors = _errors(predictions, targets)
    losses = [e * e for e in errors]
    slopes = [2 * e for e in errors]
    return _chain(losses, slopes, reduction, upstream)


def l1_loss(
    predictions: Vector, targets: Vector, *, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Vector]:
    """Absolute error |e| with e = prediction - target; slope -1, 0 or 1, the sign of e (0 at the kink, as in torch).

    Arguments, returns and errors as `mse_loss`.
    """
    errors = _errors(predictions, targets)
    losses = [abs(e) for e in errors]
    slopes = [(e > 0) - (e < 0) for e in errors]
    return _chain(losses, slopes, reduction, upstream)


def huber_loss(
    predictions: Vector,
    targets: Vector,
    *,
    delta: float = 1.0,
    reduction: str = "mean",
    upstream: float | Vector = 1.0,
) -> tuple[float | Vector, Vector]:
    """½e² where |e| ≤ δ, δ(|e| - ½δ) beyond; slope e, cut off at ±δ (Huber 1964).

    Args:
        predictions: n numbers.
        targets: n numbers.
        delta: δ > 0, in the units of the targets: up to which error the loss is quadratic.
        reduction: as in `reduce_losses`.
        upstream: as in `reduce_losses`.

    Returns:
        As `mse_loss`.

    Raises:
        ValueError: `delta` is not positive and finite, or as `mse_loss`.
    """
    _check_positive("delta", delta)
    errors = _errors(predictions, targets)
    losses = [e * e / 2 if abs(e) <= delta else delta * (abs(e) - delta / 2) for e in errors]
    slopes = [max(-delta, min(e, delta)) for e in errors]
    return _chain(losses, slopes, reduction, upstream)


# ---- classification: two classes


def _softplus(z: float) -> float:
    """log(1 + eᶻ), without an exponential of a positive number."""
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


def _sigmoid(z: float) -> float:
    """1 / (1 + e⁻ᶻ), without an exponential of a positive number."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def textbook_binary_cross_entropy(
    logits: Vector, targets: Vector, *, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Vector]:
    """-t log p - (1 - t) log(1 - p) with p = 1 / (1 + e⁻ᶻ), and the chain rule through p. It breaks: do not use it.

    Arguments and returns as `binary_cross_entropy_with_logits`, without `pos_weight`.

    Raises:
        OverflowError: a logit is below about -709.78: e⁻ᶻ is no float. (torch: inf or NaN, and no error.)
        ValueError: a logit is above about 36.7: p rounds to 1, and math.log(0) is refused (torch: inf or NaN); and as
            `binary_cross_entropy_with_logits`.
    """
    _check_vector("logits", logits)
    _check_probabilities(targets, logits)
    losses, slopes = [], []
    for z, t in zip(logits, targets, strict=True):
        p = 1 / (1 + math.exp(-z))
        losses.append(-t * math.log(p) - (1 - t) * math.log(1 - p))
        slopes.append((-t / p + (1 - t) / (1 - p)) * p * (1 - p))
    return _chain(losses, slopes, reduction, upstream)


def binary_cross_entropy_with_logits(
    logits: Vector,
    targets: Vector,
    *,
    pos_weight: float = 1.0,
    reduction: str = "mean",
    upstream: float | Vector = 1.0,
) -> tuple[float | Vector, Vector]:
    """w t log(1 + e⁻ᶻ) + (1 - t) log(1 + eᶻ); slope (1 - t) σ(z) - w t σ(-z), which is σ(z) - t where w = 1.

    Args:
        logits: z, n numbers; σ(z) is the probability of class 1.
        targets: t, n numbers from 0 to 1.
        pos_weight: w > 0, how many times a positive sample counts. "mean" divides by n all the same.
        reduction: as in `reduce_losses`.
        upstream: as in `reduce_losses`.

    Returns:
        The loss (n losses with "none"), and dJ/d(logits), n numbers.

    Raises:
        ValueError: logits and targets are not two non-empty lists of as many finite numbers, a target is not from 0 to
            1, `pos_weight` is not positive and finite, or as `reduce_losses`.
    """
    _check_vector("logits", logits)
    _check_probabilities(targets, logits)
    _check_positive("pos_weight", pos_weight)
    losses, slopes = [], []
    for z, t in zip(logits, targets, strict=True):
        losses.append(pos_weight * t * _softplus(-z) + (1 - t) * _softplus(z))
        slopes.append((1 - t) * _sigmoid(z) - pos_weight * t * _sigmoid(-z))
    return _chain(losses, slopes, reduction, upstream)


def hinge_loss(
    scores: Vector, labels: list[int], *, margin: float = 1.0, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Vector]:
    """max(0, m - y s); slope -y where y s ≤ m, 0 beyond. At the kink y s = m it is -y, as in torch's clamp.

    Args:
        scores: s, n numbers; its sign is the predicted class.
        labels: y, n numbers, each -1 or 1.
        margin: m > 0.
        reduction: as in `reduce_losses`.
        upstream: as in `reduce_losses`.

    Returns:
        The loss (n losses with "none"), and dJ/d(scores), n numbers.

    Raises:
        ValueError: `scores` is no non-empty list of finite numbers, there are not as many labels, a label is neither -1
            nor 1, `margin` is not positive and finite, or as `reduce_losses`.
    """
    _check_vector("scores", scores)
    _check_signs(labels, scores)
    _check_positive("margin", margin)
    missing = [margin - y * s for s, y in zip(scores, labels, strict=True)]
    losses = [max(0.0, m) for m in missing]
    slopes = [-y if m >= 0 else 0.0 for m, y in zip(missing, labels, strict=True)]
    return _chain(losses, slopes, reduction, upstream)


# ---- classification: any number of classes


def log_sum_exp(values: Vector) -> float:
    """log Σ eᵛ, with the largest value taken out of the sum: no exponential is of a positive number.

    Raises:
        ValueError: `values` is no non-empty list of finite numbers.
    """
    _check_vector("values", values)
    largest = max(values)
    return largest + math.log(sum(math.exp(v - largest) for v in values))


def log_softmax(logits: Matrix) -> Matrix:
    """log p, row by row: log (eᶻ / Σ eᶻ) = z - log Σ eᶻ.

    Args:
        logits: n_samples × n_classes, finite.

    Returns:
        n_samples × n_classes.

    Raises:
        ValueError: `logits` is no matrix of finite numbers.
    """
    _check_matrix("logits", logits)
    log_sums = [log_sum_exp(row) for row in logits]
    return [[z - log_sum for z in row] for row, log_sum in zip(logits, log_sums, strict=True)]


def textbook_cross_entropy(
    logits: Matrix, labels: list[int], *, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Matrix]:
    """-log p of the label with p = eᶻ / Σ eᶻ, and the chain rule through p. It breaks: do not use it.

    With g = dL/dp, which is -1/p at the label and 0 elsewhere, dL/dz_k = p_k (g_k - Σ g_j p_j).
    Arguments and returns as `cross_entropy`, without its options.

    Raises:
        OverflowError: a logit is above about 709.78: eᶻ is no float. (torch: NaN, and no error.)
        ZeroDivisionError: all logits of a sample are below about -745.1: each eᶻ is 0. (torch: NaN.)
        ValueError: the label's logit is about 745 below another: p is 0, and math.log(0) is refused (torch: inf); and
            as `cross_entropy`.
    """
    _check_matrix("logits", logits)
    _check_labels(labels, logits)
    losses, slopes = [], []
    for row, label in zip(logits, labels, strict=True):
        powers = [math.exp(z) for z in row]
        p = [power / sum(powers) for power in powers]
        losses.append(-math.log(p[label]))
        g = [-1 / p[label] if k == label else 0.0 for k in range(len(row))]
        inner = sum(map(mul, g, p))
        slopes.append([p_k * (g_k - inner) for p_k, g_k in zip(p, g, strict=True)])
    return _chain(losses, slopes, reduction, upstream)


def cross_entropy(
    logits: Matrix,
    labels: list[int],
    *,
    weights: Vector | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    upstream: float | Vector = 1.0,
) -> tuple[float | Vector, Matrix]:
    """-Σ_k q_k log p_k with p = softmax(logits); slope (Σ q) p - q.

    q is what you ask for: 1 at the label, 0 elsewhere. Smoothing moves a share ε of it evenly to all n_classes (the
    label among them), and each class counts with its weight: q_k = w_k ((1 - ε) [k is the label] + ε / n_classes).

    Args:
        logits: n_samples × n_classes.
        labels: for each sample the index of its class, or `ignore_index`.
        weights: w, one for each class, at least 0; all 1 where None.
        ignore_index: a sample with this label has loss 0 and no gradient, and does not count in the mean.
        label_smoothing: ε, from 0 to 1.
        reduction: as in `reduce_losses`, but "mean" divides by the sum of the weights of the labels that count.
        upstream: as in `reduce_losses`.

    Returns:
        The loss (n_samples losses with "none"), and dJ/d(logits), n_samples × n_classes.

    Raises:
        ValueError: `logits` is no matrix of finite numbers, there are not as many labels, a label is no int or neither
            a class nor `ignore_index`, there are not n_classes weights or one is negative, `label_smoothing` is not
            from 0 to 1, the mean would divide by 0 because every label is ignored or weighs 0, or as `reduce_losses`.
    """
    _check_matrix("logits", logits)
    _check_labels(labels, logits, ignore_index)
    n_classes = len(logits[0])
    weights = [1.0] * n_classes if weights is None else weights
    _check_weights(weights, n_classes)
    _check_between("label_smoothing", [label_smoothing], 0, 1)
    counted = sum(weights[label] for label in labels if label != ignore_index)
    if reduction == "mean" and counted == 0:
        raise ValueError("every label is ignored or weighs 0, so the mean would be 0 / 0; expected one that counts")
    losses, slopes = [], []
    for label, log_p in zip(labels, log_softmax(logits), strict=True):
        if label == ignore_index:
            losses.append(0.0)
            slopes.append([0.0] * n_classes)
            continue
        q = [w * label_smoothing / n_classes for w in weights]
        q[label] += weights[label] * (1 - label_smoothing)
        losses.append(-sum(map(mul, q, log_p)))
        total = sum(q)
        slopes.append([total * math.exp(l_k) - q_k for l_k, q_k in zip(log_p, q, strict=True)])
    return _chain(losses, slopes, reduction, upstream, divisor=counted)


def multi_margin_loss(
    scores: Matrix, labels: list[int], *, margin: float = 1.0, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Matrix]:
    """Σ_{j ≠ y} max(0, m - s_y + s_j) / n_classes: each wrong class is to stay m below the right one.

    Slope 1 / n_classes at each j with m - s_y + s_j > 0 (0 at the kink, as in torch), and minus their sum at y.

    Args:
        scores: s, n_samples × n_classes.
        labels: y, for each sample the index of its class.
        margin: m > 0.
        reduction: as in `reduce_losses`.
        upstream: as in `reduce_losses`.

    Returns:
        The loss (n_samples losses with "none"), and dJ/d(scores), n_samples × n_classes.

    Raises:
        ValueError: `scores` is no matrix of finite numbers, there are not as many labels, a label is no class, `margin`
            is not positive and finite, or as `reduce_losses`.
    """
    _check_matrix("scores", scores)
    _check_labels(labels, scores)
    _check_positive("margin", margin)
    n_classes = len(scores[0])
    losses, slopes = [], []
    for row, label in zip(scores, labels, strict=True):
        missing = [margin - row[label] + s for s in row]
        missing[label] = 0.0
        losses.append(sum(max(0.0, m) for m in missing) / n_classes)
        slope = [(m > 0) / n_classes for m in missing]
        slope[label] -= sum(slope)
        slopes.append(slope)
    return _chain(losses, slopes, reduction, upstream)


# ---- distributions


def kl_div(
    log_probabilities: Matrix,
    targets: Matrix,
    *,
    log_target: bool = False,
    reduction: str = "mean",
    upstream: float | Matrix = 1.0,
) -> tuple[float | Matrix, Matrix]:
    """KL(t ‖ p), element by element: t (log t - x) with x = log p, and 0 where t is 0; slope -t.

    Note the order: the model's x = log p comes first, the truth t second. One loss is one *element*, so "mean" divides
    by n_samples · n_classes. The divergence of a sample is the sum of its row: "batchmean" is the mean of those.

    Args:
        log_probabilities: x, n_samples × n_classes, at most 0: from `log_softmax`.
        targets: t, n_samples × n_classes, from 0 to 1; with `log_target` log t, at most 0.
        log_target: whether `targets` are logarithms.
        reduction: "none", "mean", "sum" or "batchmean".
        upstream: as in `reduce_losses`; with "none" a number, or n_samples × n_classes.

    Returns:
        The loss (n_samples × n_classes with "none"), and dJ/d(log_probabilities), n_samples × n_classes.

    Raises:
        ValueError: the two are not matrices of finite numbers of one shape, one of their numbers is no probability (or
            no logarithm of one, where one is expected), or as `reduce_losses`.
    """
    _check_matrix("log_probabilities", log_probabilities)
    n_samples, n_classes = len(log_probabilities), len(log_probabilities[0])
    _check_matrix("targets", targets, (n_samples, n_classes))
    _check_reduction(reduction, "batchmean")
    divisor = None
    if reduction == "batchmean":
        reduction, divisor = "mean", n_samples
    if isinstance(upstream, list):
        _check_matrix("upstream", upstream, (n_samples, n_classes))
        upstream = _flat(upstream)
    x, t = _flat(log_probabilities), _flat(targets)
    _check_between("a log-probability", x, -math.inf, 0)
    _check_between("a target", t, *((-math.inf, 0) if log_target else (0, 1)))
    if log_target:
        log_t, t = t, [math.exp(v) for v in t]
    else:
        log_t = [math.log(v) if v > 0 else 0.0 for v in t]  # whatever it is, 0 · log 0 counts as 0
    losses = [t_k * (log_t_k - x_k) for t_k, log_t_k, x_k in zip(t, log_t, x, strict=True)]
    slopes = [-t_k for t_k in t]
    loss, gradient = _chain(losses, slopes, reduction, upstream, divisor)
    return _rows(loss, n_classes) if reduction == "none" else loss, _rows(gradient, n_classes)


# ---- embeddings: where points lie, not which class they are


def cosine_embedding_loss(
    first: Matrix,
    second: Matrix,
    labels: list[int],
    *,
    margin: float = 0.0,
    reduction: str = "mean",
    upstream: float | Vector = 1.0,
) -> tuple[float | Vector, tuple[Matrix, Matrix]]:
    """A contrastive loss of pairs: 1 - cos(a, b) where y = 1, max(0, cos(a, b) - m) where y = -1.

    cos(a, b) = a·b / (|a| |b|), with COSINE_EPSILON added to each squared length, as in torch: the cosine of a row of
    zeros is 0. Where a·b is 0, so is this cosine; the product of two unit vectors may round to just below.
    d cos / da = (b / |b| - cos · a / |a|) / |a|. At the kink cos = m the slope is that of cos, as in torch's clamp.

    Args:
        first: a, n_samples × n_dimensions.
        second: b, n_samples × n_dimensions.
        labels: y, 1 for a pair that belongs together, -1 for one that does not.
        margin: m, from -1 to 1: how similar strangers may be.
        reduction: as in `reduce_losses`.
        upstream: as in `reduce_losses`.

    Returns:
        The loss (n_samples losses with "none"), and (dJ/d(first), dJ/d(second)).

    Raises:
        ValueError: first and second are not matrices of finite numbers of one shape, there are not as many labels, a
            label is neither -1 nor 1, `margin` is not from -1 to 1, or as `reduce_losses`.
    """
    _check_matrix("first", first)
    _check_matrix("second", second, (len(first), len(first[0])))
    _check_signs(labels, first)
    _check_between("margin", [margin], -1, 1)
    losses, slopes_a, slopes_b = [], [], []
    for a, b, y in zip(first, second, labels, strict=True):
        (length_a, unit_a), (length_b, unit_b) = _unit(a, COSINE_EPSILON), _unit(b, COSINE_EPSILON)
        cosine = sum(map(mul, a, b)) / (length_a * length_b)  # exactly 0 where a·b is; unit_a · unit_b may not be
        losses.append(1 - cosine if y == 1 else max(0.0, cosine - margin))
        d_cosine = -1.0 if y == 1 else 1.0 if cosine >= margin else 0.0
        slopes_a.append(_through_unit([d_cosine * v for v in unit_b], unit_a, length_a))
        slopes_b.append(_through_unit([d_cosine * v for v in unit_a], unit_b, length_b))
    loss, gradient_a = _chain(losses, slopes_a, reduction, upstream)
    loss, gradient_b = _chain(losses, slopes_b, reduction, upstream)
    return loss, (gradient_a, gradient_b)


def _unit(vector: Vector, epsilon: float = 0.0) -> tuple[float, Vector]:  # given
    """The vector's length √(Σ v² + ε), which must not be 0, and the vector divided by it."""
    length = math.sqrt(sum(map(mul, vector, vector)) + epsilon)
    return length, [v / length for v in vector]


def _through_unit(gradient: Vector, unit: Vector, length: float) -> Vector:
    """Back through u = v / |v|: (g - (g·u) u) / |v|. What points along v is lost: only v's direction counts."""
    along = sum(map(mul, gradient, unit))
    return [(g - along * u) / length for g, u in zip(gradient, unit, strict=True)]


def triplet_margin_loss(
    anchors: Matrix,
    positives: Matrix,
    negatives: Matrix,
    *,
    margin: float = 1.0,
    reduction: str = "mean",
    upstream: float | Vector = 1.0,
) -> tuple[float | Vector, tuple[Matrix, Matrix, Matrix]]:
    """max(0, m + d(a, p) - d(a, n)): the negative is to lie m farther from the anchor than the positive.

    d(a, b) = |a - b + 1e-6|, the Euclidean length with 1e-6 added to each coordinate, as in torch, so that a = b has a
    gradient. Its slope by a is the unit vector from b to a, and 0 where the length is 0 all the same. At the kink the
    slope is that of the inside. All as in torch.

    Args:
        anchors: a, n_samples × n_dimensions.
        positives: p, n_samples × n_dimensions, of the anchor's kind.
        negatives: n, n_samples × n_dimensions, of another.
        margin: m > 0, in units of distance.
        reduction: as in `reduce_losses`.
        upstream: as in `reduce_losses`.

    Returns:
        The loss (n_samples losses with "none"), and (dJ/d(anchors), dJ/d(positives), dJ/d(negatives)).

    Raises:
        ValueError: the three are not matrices of finite numbers of one shape, `margin` is not positive and finite, or
            as `reduce_losses`.
    """
    _check_matrix("anchors", anchors)
    shape = (len(anchors), len(anchors[0]))
    _check_matrix("positives", positives, shape)
    _check_matrix("negatives", negatives, shape)
    _check_positive("margin", margin)
    losses, slopes = [], ([], [], [])
    for a, p, n in zip(anchors, positives, negatives, strict=True):
        to_positive, from_positive = _distance(a, p)
        to_negative, from_negative = _distance(a, n)
        missing = margin + to_positive - to_negative
        losses.append(max(0.0, missing))
        active = 1.0 if missing >= 0 else 0.0
        slopes[0].append([active * (u - v) for u, v in zip(from_positive, from_negative, strict=True)])
        slopes[1].append([-active * u for u in from_positive])
        slopes[2].append([active * v for v in from_negative])
    loss, _ = reduce_losses(losses, reduction, upstream)
    return loss, tuple(_chain(losses, slope, reduction, upstream)[1] for slope in slopes)


def _distance(a: Vector, b: Vector) -> tuple[float, Vector]:
    """|a - b + ε|, and its slope with respect to a: the unit vector from b to a (zeros where the length is 0)."""
    difference = [u - v + DISTANCE_EPSILON for u, v in zip(a, b, strict=True)]
    length = math.sqrt(sum(map(mul, difference, difference)))
    return length, [d / length if length > 0 else 0.0 for d in difference]


def info_nce(
    queries: Matrix, keys: Matrix, *, temperature: float, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, tuple[Matrix, Matrix]]:
    """Which key is mine? The cross-entropy of cos(query i, key j) / τ with the label i (InfoNCE, as in SimCLR).

    Key i is the positive of query i; the keys of the other samples are its negatives.

    Args:
        queries: n_samples × n_dimensions, no row of zeros.
        keys: n_samples × n_dimensions, no row of zeros.
        temperature: τ > 0; the smaller, the more the most similar negatives count.
        reduction: as in `reduce_losses`.
        upstream: as in `reduce_losses`.

    Returns:
        The loss (n_samples losses with "none"), and (dJ/d(queries), dJ/d(keys)).

    Raises:
        ValueError: the two are not matrices of finite numbers of one shape, a row is shorter than 1e-12, `temperature`
            is not positive and finite, or as `reduce_losses`.
    """
    _check_matrix("queries", queries)
    _check_matrix("keys", keys, (len(queries), len(queries[0])))
    _check_positive("temperature", temperature)
    _check_directions("queries", queries)
    _check_directions("keys", keys)
    q_lengths, q = zip(*map(_unit, queries), strict=True)
    k_lengths, k = zip(*map(_unit, keys), strict=True)
    logits = [[sum(map(mul, u, v)) / temperature for v in k] for u in q]
    loss, slopes = cross_entropy(logits, list(range(len(q))), reduction=reduction, upstream=upstream)
    d_cosines = [[s / temperature for s in row] for row in slopes]  # row i: query i; column j: key j
    d_q = [_weighted_sum(row, k) for row in d_cosines]
    d_k = [_weighted_sum(column, q) for column in zip(*d_cosines, strict=True)]
    return loss, (list(map(_through_unit, d_q, q, q_lengths)), list(map(_through_unit, d_k, k, k_lengths)))


def _weighted_sum(weights: Vector, rows: Matrix) -> Vector:  # given
    """Σ weight · row."""
    return [sum(map(mul, weights, column)) for column in zip(*rows, strict=True)]


# ---- what is refused, and lists


def _errors(predictions: Vector, targets: Vector) -> Vector:  # given
    """prediction - target, for two lists that fit."""
    _check_vector("predictions", predictions)
    _check_vector("targets", targets, len(predictions))
    return [p - t for p, t in zip(predictions, targets, strict=True)]


def _flat(rows: Matrix) -> Vector:  # given
    """All elements, row by row."""
    return [value for row in rows for value in row]


def _rows(values: Vector, n_columns: int) -> Matrix:  # given
    """The rows again."""
    return [values[i : i + n_columns] for i in range(0, len(values), n_columns)]


def _check_vector(name: str, values: Vector, n: int | None = None) -> None:  # given
    """A non-empty list of finite numbers, `n` of them where given."""
    if not values or not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise ValueError(f"{name} must be a non-empty list of finite numbers, got {values!r}")
    _check_length(name, values, len(values) if n is None else n)


def _check_matrix(name: str, rows: Matrix, shape: tuple[int, int] | None = None) -> None:  # given
    """A non-empty list of rows of finite numbers, all of one length; of this shape where given."""
    if not rows or not all(isinstance(row, list | tuple) for row in rows):
        raise ValueError(f"{name} must be a matrix, a non-empty list of non-empty rows, got {rows!r}")
    n_rows, n_columns = (len(rows), len(rows[0])) if shape is None else shape
    _check_length(name, rows, n_rows)
    for i, row in enumerate(rows):
        _check_vector(f"row {i} of {name}", row, n_columns)


def _check_length(name: str, values: list, n: int) -> None:  # given
    """As many entries as there should be."""
    if len(values) != n:
        raise ValueError(f"{name} must have {n} entries, got {len(values)}")


def _check_probabilities(targets: Vector, logits: Vector) -> None:  # given
    """A target from 0 to 1 for each logit."""
    _check_vector("targets", targets, len(logits))
    _check_between("a target", targets, 0, 1)


def _check_between(name: str, values: Vector, low: float, high: float) -> None:  # given
    """Each from `low` to `high`."""
    for value in values:
        if not low <= value <= high:
            raise ValueError(f"{name} must be from {low} to {high}, got {value}")


def _check_positive(name: str, value: float) -> None:  # given
    """Above 0, and finite."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")


def _check_signs(labels: list[int], samples: list) -> None:  # given
    """-1 or 1 for each sample."""
    _check_length("labels", labels, len(samples))
    for label in labels:
        if label not in (-1, 1):
            raise ValueError(f"a label must be -1 or 1, got {label!r}")


def _check_labels(labels: list[int], rows: Matrix, ignore_index: int | None = None) -> None:  # given
    """For each row the index of a class, or `ignore_index`; False and True count as 0 and 1, as always in Python."""
    _check_length("labels", labels, len(rows))
    for label in labels:
        if not isinstance(label, int) or not (label == ignore_index or 0 <= label < len(rows[0])):
            raise ValueError(f"a label must be an int from 0 to {len(rows[0]) - 1}, got {label!r}")


def _check_directions(name: str, rows: Matrix) -> None:  # given
    """No row of zeros."""
    for row in rows:
        if math.hypot(*row) < 1e-12:
            raise ValueError(f"a row of {name} must have a direction, got {row}")


def _check_weights(weights: Vector, n_classes: int) -> None:  # given
    """A number of at least 0 for each class."""
    _check_vector("weights", weights, n_classes)
    if min(weights) < 0:
        raise ValueError(f"weights must be at least 0, got {weights}")


def _check_reduction(reduction: str, *more: str) -> None:  # given
    """A known name."""
    known = ("none", "mean", "sum", *more)
    if reduction not in known:
        raise ValueError(f"reduction must be one of {', '.join(known)}, got {reduction!r}")


def _check_upstream(upstream: float | Vector, losses: Vector, reduction: str) -> None:  # given
    """A finite number; or, with "none", one for each loss."""
    if isinstance(upstream, list) and reduction == "none":
        _check_vector("upstream", upstream, len(losses))
    elif not isinstance(upstream, int | float) or not math.isfinite(upstream):
        raise ValueError(f"upstream must be a finite number where reduction is {reduction!r}, got {upstream!r}")


if __name__ == "__main__":
    print("cross-entropy of the logits (0, log 3), class 0:", cross_entropy([[0.0, math.log(3)]], [0]))
    print("the same with logits of ±1000, stable form:", cross_entropy([[-1000.0, 1000.0]], [0]))
