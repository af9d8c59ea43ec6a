"""Lay one image over another, mirrored, zoomed and shifted as fits best, and say how alike they are there."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from mien.near_copies.resampling import Floats32, axis_matrix, in_chunks, resample

ZOOMS: tuple[float, ...] = (1 / 1.11, 1 / 1.055, 1.0, 1.055, 1.11)
"""At which the search begins, of the second image; a crop to 90% magnifies by 1.11."""

_CYCLES = (2, 10)  # of the frequencies that the search looks at, across the image: light and pixel noise lie outside
_REACH = 6 / 48  # how far the search shifts, in sides: 3 px, and as much for the corner of a crop
_FINE, _COARSE = 0.7 / 48, 2.5 / 48  # deviations of the two blurs between which detail is compared, in sides
_UNLIKELY = 0.45  # of low frequencies, where half of the pairs that are no copies have less, and no copy of FER2013
_HOPELESS = (0.4, 0.6)  # of details: no further step makes a copy of less, before the first step and the second
_NOTHING = 1e-6


def aligned_correlation(
    images: npt.NDArray[np.uint8], first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
) -> Floats32:
    """How alike the images of each pair are where they overlap, at the best alignment.

    Args:
        images: uint8 (N, S, S).
        first: int64 (P,), positions in ``images``.
        second: int64 (P,).

    Returns:
        float32 (P,), -1..1: the correlation of their details (a difference of two blurs) over the overlap. Near 1 for
        a copy, whatever its brightness and contrast. Where low frequencies are unlike: their correlation.
    """
    if not len(first):
        return np.zeros(0, dtype=np.float32)

    def of_part(part: slice) -> Floats32:
        one, other = (np.asarray(images[each[part]], dtype=np.float32) for each in (first, second))
        placement, found = _search(one, other)
        likely = np.flatnonzero(found >= _UNLIKELY)
        found[likely] = _refine(one[likely], other[likely], placement[likely])
        return found

    return in_chunks(of_part, len(first), "comparing near-copies")


Placement = Floats32
"""How to lay the second image of each pair over the first, (P, 4): 1 if mirrored, zoom, px down, px across."""


@cache
def _shifts_px(side: int) -> npt.NDArray[np.int64]:
    reach = max(1, round(_REACH * side))
    return np.arange(-reach, reach + 1)


@cache
def _waves(side: int, zoom: float) -> Floats32:
    """Factors for the details of an image, rows and columns alike, once it is magnified.

    Returns:
        float32 (2, 2 F, S): of each of the two blurs of the details; cosines, then sines, of cycles 0..F-1 under a
        window that fades at the border.
    """
    at = np.arange(side)
    window = np.clip(np.minimum(at + 1, side - at) / (side / 6), 0, 1)
    angles = 2 * np.pi * np.outer(np.arange(_CYCLES[1] + 1), at) / side
    waves = window * np.concatenate([np.cos(angles), np.sin(angles)])
    # The blurs are in the waves, which costs less than to blur the images.
    return np.stack([waves @ axis_matrix(side, zoom) @ _blur_matrix(side, each) for each in (_FINE, _COARSE)]).astype(
        np.float32
    )


@cache
def _shift_waves(side: int) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.complex64], Floats32]:
    """Shifts down and across, complex64 (M, F) and (G, M); how much each frequency counts, float32 (F, G)."""
    down, across = np.arange(_CYCLES[1] + 1), np.arange(-_CYCLES[1], _CYCLES[1] + 1)
    shifts = _shifts_px(side)
    squared = down[:, np.newaxis] ** 2 + across**2
    band = (squared >= _CYCLES[0] ** 2) & (squared <= _CYCLES[1] ** 2)
    # A real image's spectrum is symmetric: only half is computed, and counts twice except for its seam.
    counts = band * np.where(down == 0, 1.0, 2.0)[:, np.newaxis]
    return (
        np.exp(2j * np.pi * np.outer(shifts, down) / side).astype(np.complex64),
        np.exp(2j * np.pi * np.outer(across, shifts) / side).astype(np.complex64),
        counts.astype(np.float32),
    )


def _search(one: Floats32, other: Floats32) -> tuple[Placement, Floats32]:
    """The mirror, zoom and shift of ``other`` at which it correlates best with ``one``, by low frequencies alone.

    Returns:
        The placement (P, 4), and the correlation there, float32 (P,).
    """
    count, side, _ = one.shape
    shifts = _shifts_px(side)
    shift_down, shift_across, counts = _shift_waves(side)
    # Details know no mean; without it they are exact.
    one, other = (each - each.mean(axis=(1, 2), keepdims=True) for each in (one, other))
    # Of details, without the coarse light: under a fading window it would look the same at no shift, and decide.
    of_one = _spectrum(one, _waves(side, 1.0), counts)
    across = np.arange(-_CYCLES[1], _CYCLES[1] + 1)
    turn = np.exp(-2j * np.pi * across * (side - 1) / side).astype(np.complex64)
    best = np.full(count, -np.inf, dtype=np.float32)
    placement = np.zeros((count, 4), dtype=np.float32)
    for zoom in ZOOMS:
        of_other = _spectrum(other, _waves(side, zoom), counts)
        # A mirror turns the frequencies across round; the phase is that of its axis, which is not at pixel 0.
        for mirrored, spectrum in ((False, of_other), (True, of_other[:, :, ::-1] * turn)):
            overlaid = np.matmul(shift_down, np.matmul(of_one * spectrum.conj(), shift_across)).real.reshape(count, -1)
            top = overlaid.argmax(axis=1)
            value = overlaid[np.arange(count), top]
            better = value > best
            best[better] = value[better]
            down_px, across_px = (shifts[each[better]] for each in np.divmod(top, len(shifts)))
            placement[better, :2] = mirrored, zoom
            placement[better, 2:] = np.stack([down_px, across_px], axis=1)
    return placement, best


def _spectrum(images: Floats32, waves: Floats32, counts: Floats32) -> npt.NDArray[np.complex64]:
    """Spectra of details, of length 1, so that their product is a correlation. (P, S, S) -> (P, F, G)."""
    frequencies = waves.shape[1] // 2
    fine, coarse = (np.matmul(np.matmul(each, images), each.T) for each in waves)
    parts = fine - coarse
    (cc, cs), (sc, ss) = (
        (half[:, :, :frequencies], half[:, :, frequencies:])
        for half in (parts[:, :frequencies], parts[:, frequencies:])
    )
    # exp(-ia) exp(-ib) for cycles across >= 0, exp(-ia) exp(ib) for those below.
    right, left = (cc - ss) - 1j * (cs + sc), (cc + ss) - 1j * (sc - cs)
    spectrum = np.concatenate([left[:, :, :0:-1], right], axis=2) * np.sqrt(counts)
    length = np.sqrt(np.square(np.abs(spectrum)).sum(axis=(1, 2), keepdims=True))
    return np.asarray(spectrum / np.maximum(length, _NOTHING))


def _refine(one: Floats32, other: Floats32, placement: Placement) -> Floats32:
    """Correlation of details at the placement, after a few steps of least squares on its zoom and shifts.

    The steps are Gauss-Newton's on the difference of details (Lucas & Kanade, IJCAI 1981), each kept where it helps.
    """
    found, step = _step(one, other, placement)
    hopeful = np.arange(len(found))
    for hopeless in _HOPELESS:
        kept = found[hopeful] > hopeless
        hopeful = hopeful[kept]
        one, other, placement, step = (each[kept] for each in (one, other, placement, step))
        moved = placement.copy()
        moved[:, 1] *= 1 + np.clip(step[:, 0], -0.05, 0.05)
        moved[:, 2:] += np.clip(step[:, 1:], -1.5, 1.5)
        correlation, following = _step(one, other, moved)
        better = correlation > found[hopeful]
        found[hopeful[better]] = correlation[better]
        placement = np.where(better[:, np.newaxis], moved, placement)
        step = np.where(better[:, np.newaxis], following, 0.5 * step)
    return found


def _step(one: Floats32, other: Floats32, placement: Placement) -> tuple[Floats32, Floats32]:
    """Correlation of details at a placement (P,), and the change of zoom, down and across to raise it (P, 3)."""
    side = one.shape[1]
    mirrored, zoom, down, across = placement.T
    turned = np.where(mirrored[:, np.newaxis, np.newaxis] > 0, other[:, :, ::-1], other)
    laid = resample(turned, axis_matrix(side, zoom, down), axis_matrix(side, zoom, across))
    rows, columns = (
        (axis_matrix(side, zoom, shift, fill=False).sum(axis=2) > 0.75).astype(np.float32) for shift in (down, across)
    )
    a, b = (_details(each, rows, columns) for each in (one, laid))
    products = [(x * y).sum(axis=(1, 2)) for x, y in ((a, b), (a, a), (b, b))]
    correlation = products[0] / np.sqrt(np.maximum(products[1] * products[2], _NOTHING))
    gain = (products[0] / np.maximum(products[2], _NOTHING))[:, np.newaxis, np.newaxis]
    from_centre = np.arange(side, dtype=np.float32) - (side - 1) / 2
    along_down, along_across = np.gradient(b, axis=1), np.gradient(b, axis=2)
    outward = along_down * from_centre[:, np.newaxis] + along_across * from_centre
    slopes = -gain * np.stack([outward, along_down, along_across], axis=1).reshape(len(b), 3, side * side)
    normal = slopes @ slopes.transpose(0, 2, 1) + 1e-3 * np.eye(3, dtype=np.float32)
    wanted = np.einsum("pkn,pn->pk", slopes, (a - gain * b).reshape(len(b), side * side))
    return correlation, np.linalg.solve(normal, wanted[:, :, np.newaxis])[:, :, 0]


@cache
def _blur_matrix(side: int, deviation: float) -> Floats32:
    at = np.arange(side)
    weights = np.exp(-(((at[:, np.newaxis] - at) / (deviation * side)) ** 2) / 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _details(images: Floats32, rows: Floats32, columns: Floats32) -> Floats32:
    """A fine blur minus a coarse one, both of the covered pixels alone, which are ``rows`` x ``columns``."""
    side = images.shape[1]
    inside = rows[:, :, np.newaxis] * columns[:, np.newaxis, :]
    blurred = []
    for deviation in (_FINE, _COARSE):
        matrix = _blur_matrix(side, deviation)
        share = (rows @ matrix.T)[:, :, np.newaxis] * (columns @ matrix.T)[:, np.newaxis, :]
        blurred.append(np.matmul(np.matmul(matrix, images * inside), matrix.T) / np.maximum(share, _NOTHING))
    return np.asarray((blurred[0] - blurred[1]) * inside)
