"""The chance that at least one of k samples passes, estimated from n."""

from __future__ import annotations

from math import comb

from rtk.errors import RTKError


def pass_at_k(n: int, c: int, k: int) -> float | None:
    """Unbiased estimate of pass@k from `n` samples of one question, of which `c` are correct.

        pass@k = 1 − C(n − c, k) / C(n, k)

    the chance that k samples taken from the n without replacement include a correct one.
    Source: M. Chen et al., "Evaluating Large Language Models Trained on Code", 2021, arXiv:2107.03374, section 2.1.

    * `n < k`: undefined, hence None; so also with no samples at all. Nothing is extrapolated.
    * none correct: 0.
    * one correct: k / n.
    * all correct, or more than `n − k` correct: 1.

    Averaged over questions this stays unbiased; `1 − (1 − c/n)^k` would be biased low.

    Args:
        n: samples drawn for the question.
        c: correct ones among them, from 0 to n.
        k: samples that a user would be shown, at least 1.

    Raises:
        RTKError: counts that cannot be.
    """
    if not 0 <= c <= n:
        raise RTKError(f"{c} correct samples of {n} cannot be", mend="pass 0 <= c <= n")
    if k < 1:
        raise RTKError(f"pass@{k} has no meaning", mend="pass k of 1 or more")
    if n < k:
        return None
    # Exact integers: the difference is taken before the division, so nothing cancels.
    ways = comb(n, k)
    return (ways - comb(n - c, k)) / ways
