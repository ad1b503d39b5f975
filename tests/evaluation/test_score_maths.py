"""The formulas behind the scores, against closed forms and independent computations."""

import numpy as np
import pytest
import torch

from spf_lab.evaluation.statistics import jackknife
from spf_lab.metrics.networks.faces import TEMPLATE_52, Face, similarity_transform, yunet_face
from spf_lab.metrics.networks.sam import distinct, stability
from spf_lab.metrics.scores.features import frechet_distance, paired_kid, squared_displacement
from spf_lab.metrics.scores.masks import matched_iou


def drawn(n, d, seed, scale=1.0, shift=0.0):
    return (
        torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale + shift
    )


def by_two_eigendecompositions(one, other):
    """tr of the root as in the definition: S_1^1/2 S_2 S_1^1/2."""
    s1, s2 = torch.cov(one.T), torch.cov(other.T)
    values, vectors = torch.linalg.eigh(s1)
    half = vectors * values.clamp(min=0).sqrt() @ vectors.T
    root = torch.linalg.eigvalsh(half @ s2 @ half).clamp(min=0).sqrt().sum()
    return float((one.mean(0) - other.mean(0)).square().sum() + s1.trace() + s2.trace() - 2 * root)


@pytest.mark.parametrize(("n", "d"), [(200, 6), (12, 40), (7, 7)])
def test_the_frechet_distance_is_that_of_the_definition(n, d):
    one, other = drawn(n, d, 0), drawn(n, d, 1, scale=1.5, shift=0.3) @ drawn(d, d, 2)
    assert frechet_distance(one, other) == pytest.approx(by_two_eigendecompositions(one, other), rel=1e-6)


def test_the_frechet_distance_of_gaussians_has_its_closed_form():
    one = drawn(400, 5, 3)
    exact = one - one.mean(0)
    exact = exact @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(exact.T))).T  # covariance exactly 1
    assert frechet_distance(exact, 3 * exact + 2) == pytest.approx(5 * 2**2 + 5 * (3 - 1) ** 2)


def test_equal_sets_are_at_distance_zero_in_any_order():
    one = drawn(30, 8, 4)
    assert frechet_distance(one, one.flip(0)) == pytest.approx(0, abs=1e-9)
    assert paired_kid(one, one) == pytest.approx(0, abs=1e-12)
    assert squared_displacement(one, one).tolist() == [0.0] * 30


def test_one_pair_says_nothing_of_a_distribution():
    one, other = drawn(1, 4, 5), drawn(1, 4, 6)
    assert np.isnan([frechet_distance(one, other), paired_kid(one, other)]).all()


def test_paired_kid_is_unbiased_where_the_usual_estimator_is_not():
    """Pairs that share most of what they are, from one distribution: the truth is 0."""

    def usual(a, c):
        n, k = len(a), lambda x, y: (x @ y.T / x.shape[1] + 1) ** 3
        within = sum(float(m.sum() - m.trace()) for m in (k(a, a), k(c, c))) / (n * (n - 1))
        return within - 2 * float(k(a, c).mean())

    paired, textbook = [], []
    for seed in range(300):
        shared = drawn(16, 10, 3 * seed)
        a, c = (0.9 * shared + 0.436 * drawn(16, 10, 3 * seed + side) for side in (1, 2))
        paired.append(paired_kid(a, c))
        textbook.append(usual(a, c))
    error = np.std(paired) / len(paired) ** 0.5
    assert abs(np.mean(paired)) < 3 * error
    assert np.mean(textbook) < -10 * error


def test_a_shift_is_seen_by_paired_kid_at_every_number_of_pairs():
    found = [np.mean([paired_kid(drawn(n, 6, s), drawn(n, 6, s) + 1.0) for s in range(60)]) for n in (8, 64)]
    assert found[0] == pytest.approx(found[1], rel=0.35)
    assert min(found) > 0.5


def test_displacement_bounds_the_frechet_distance_of_any_pairing():
    for seed in range(50):
        n, one = 12, drawn(12, 5, seed)
        other = one @ drawn(5, 5, seed + 100) + drawn(12, 5, seed + 200)
        bound = squared_displacement(one, other).mean()
        assert frechet_distance(one, other) <= bound * n / (n - 1) + 1e-9


def test_the_jackknife_of_a_mean_is_the_usual_interval():
    values = np.random.default_rng(0).normal(2.0, 1.0, 20)
    found = jackknife(lambda places: float(values[places].mean()), np.arange(20))
    half = 2.093 * values.std(ddof=1) / 20**0.5
    assert found.value == pytest.approx(values.mean())
    assert found.ci == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-3)


def test_the_jackknife_leaves_out_prompts_with_all_their_seeds():
    values = np.random.default_rng(1).normal(size=10)
    once = jackknife(lambda places: float(values[places].mean()), np.arange(10))
    doubled = np.repeat(values, 3)
    again = jackknife(lambda places: float(doubled[places].mean()), np.repeat(np.arange(10), 3))
    assert again.ci == pytest.approx(once.ci)


def test_without_a_second_prompt_there_is_no_interval():
    assert jackknife(lambda places: 1.0, np.zeros(4, np.int64)).ci == (None, None)
    assert jackknife(lambda places: float("nan"), np.arange(4)).value is None


def boxes(*places):
    masks = torch.zeros(len(places), 8, 8, dtype=torch.bool)
    for number, place in enumerate(places):
        masks[(number, *place)] = True
    return masks


def test_masks_are_matched_one_to_one_and_weighted_by_area():
    left, right, corner = np.s_[:, :4], np.s_[:, 4:], np.s_[:2, :2]
    assert matched_iou(boxes(left, right), boxes(right, left)) == 1
    assert matched_iou(boxes(left, right), boxes(left)) == pytest.approx(0.5)
    assert matched_iou(boxes(left, corner), boxes(left, left)) == pytest.approx((32 + 4 * 4 / 32) / 36)
    assert matched_iou(boxes(left), boxes()) == 0


def test_near_copies_of_a_better_mask_are_dropped():
    whole, most, corner = np.s_[:, :], np.s_[:, :7], np.s_[:2, :2]
    kept = distinct(boxes(most, whole, corner), torch.tensor([0.9, 0.95, 0.8]))
    assert torch.equal(kept, boxes(whole, corner))


def test_a_mask_with_a_steep_border_is_stable():
    logits = torch.full((2, 4, 4), -9.0)
    logits[:, :2], logits[1, 2] = 9.0, 0.0
    assert stability(logits).tolist() == pytest.approx([1.0, 2 / 3])


def test_a_face_turned_scaled_and_shifted_is_brought_back_to_the_template():
    angle, scale = 0.4, 2.5
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    seen = TEMPLATE_52 @ turn.T + [30.0, -12.0]
    transform = similarity_transform(seen, TEMPLATE_52)
    assert seen @ transform[:, :2].T + transform[:, 2] == pytest.approx(TEMPLATE_52)


def test_a_similarity_never_mirrors():
    transform = similarity_transform(TEMPLATE_52 * [-1, 1], TEMPLATE_52)
    assert np.linalg.det(transform[:, :2]) > 0


def test_a_row_of_the_detector_is_read_as_box_and_points():
    face = yunet_face([10, 20, 40, 50, *TEMPLATE_52.reshape(-1), 0.9])
    assert face.area == 2000
    assert face.points_52 == pytest.approx(TEMPLATE_52)
    shifted = Face((30.0, 20.0, 40.0, 50.0), TEMPLATE_52)
    assert face.overlap(shifted) == pytest.approx(1000 / 3000)
    assert face.overlap(Face((200.0, 0.0, 5.0, 5.0), TEMPLATE_52)) == 0
