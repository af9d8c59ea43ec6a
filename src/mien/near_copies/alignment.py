"""Align pairs of images by mirroring, zoom and shift, and measure how similar they are.

Square images are zoomed and shifted in chunks, by two matrix products: image' = rows @ image @ columns.T.
"""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mien.base.arrays import Array, Floats32, Ints, Pixels
from mien.base.processes import available_cores, ordered_map
from mien.base.progress import slices, track


def axis_matrix(side_px: int, zoom: npt.ArrayLike = 1.0, shift_px: npt.ArrayLike = 0.0, fill: bool = True) -> Floats32:
    """Return matrices, float32 (..., S, S), that magnify one axis about its centre, then shift it right or down,
    linearly. ``fill`` repeats the border pixel outside the image; else it is 0 (black).
    """
    zoom, shift_px = (np.asarray(each, dtype=np.float32)[..., np.newaxis] for each in (zoom, shift_px))
    centre = np.float32((side_px - 1) / 2)
    pixels = np.arange(side_px, dtype=np.float32)
    at = centre + (pixels - centre - shift_px) / zoom
    at = np.clip(at, 0, side_px - 1) if fill else at
    return np.asarray(np.maximum(0, 1 - np.abs(at[..., np.newaxis] - pixels)))


def resample(images: npt.NDArray[np.generic], rows: Floats32, columns: Floats32) -> Floats32:
    """Apply matrices to rows and columns, one for all images or one for each. (N, S, S) -> float32 (N, S, S)."""
    return np.asarray(np.matmul(np.matmul(rows, images.astype(np.float32, copy=False)), np.swapaxes(columns, -1, -2)))


CHUNK = 256  # fits the CPU cache: for pairs, 15% faster than 512
Part = TypeVar("Part", bound=Array)


def in_chunks(work: Callable[[slice], Part], count: int, what: str) -> Part:
    """Apply ``work`` to slices of ``count`` items (at least one) in threads, and join the results in order."""
    parts = slices(count, CHUNK)
    results = ordered_map(work, parts, min(available_cores(), len(parts)))
    return np.concatenate(list(track(results, len(parts), what, "chunks")))  # type: ignore[return-value]


ZOOMS: tuple[float, ...] = (1 / 1.11, 1 / 1.055, 1.0, 1.055, 1.11)
"""Zooms of the second image from which the search starts. A crop to 90% of the side is a zoom of 1.11."""

_CYCLES = (2, 10)  # range of frequencies in the search, in cycles per image: without lighting and pixel noise
_REACH = 6 / 48  # largest shift in the search, in sides: 3 px, plus 3 px for the corner of a crop
_FINE, _COARSE = 0.7 / 48, 2.5 / 48  # standard deviations of the two blurs whose difference is the detail, in sides
_UNLIKELY = 0.45  # correlation of low frequencies: half of the non-copies have less, no copy in FER2013 does
_HOPELESS = (0.4, 0.6)  # correlations of detail before steps 1 and 2 below which further steps are useless
_NOTHING = 1e-6


def aligned_correlation(images: Pixels, first: Ints, second: Ints) -> Floats32:
    """Compute the similarity of the images ``first`` and ``second`` of each pair at their best alignment: (P,), -1..1.

    It is the correlation of the detail (a difference of two blurs) over the overlap: near 1 for a copy of any
    brightness and contrast. For pairs with dissimilar low frequencies, it is the correlation of those.
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
"""Alignment of the second image of each pair, (P, 4): 1 if mirrored, zoom, shift down and shift right in px."""


@cache
def _shifts_px(side: int) -> Ints:
    reach = max(1, round(_REACH * side))
    return np.arange(-reach, reach + 1)


@cache
def _waves(side: int, zoom: float) -> Floats32:
    """Return the Fourier factors of a magnified image's detail along one axis, for each of two blurs: (2, 2 F, S)."""
    at = np.arange(side)
    window = np.clip(np.minimum(at + 1, side - at) / (side / 6), 0, 1)
    angles = 2 * np.pi * np.outer(np.arange(_CYCLES[1] + 1), at) / side
    waves = window * np.concatenate([np.cos(angles), np.sin(angles)])
    # The factors include the blurs, which is cheaper than blurring the images.
    return np.stack([waves @ axis_matrix(side, zoom) @ _blur_matrix(side, each) for each in (_FINE, _COARSE)]).astype(
        np.float32
    )


@cache
def _shift_waves(side: int) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.complex64], Floats32]:
    """Return the phases of M shifts, complex64 (M, F) down, (G, M) across; and frequencies' weights, float32 (F, G)."""
    down, across = np.arange(_CYCLES[1] + 1), np.arange(-_CYCLES[1], _CYCLES[1] + 1)
    shifts = _shifts_px(side)
    squared = down[:, np.newaxis] ** 2 + across**2
    band = (squared >= _CYCLES[0] ** 2) & (squared <= _CYCLES[1] ** 2)
    # A real image's spectrum is symmetric: compute half and count it twice, except frequencies on the axis.
    counts = band * np.where(down == 0, 1.0, 2.0)[:, np.newaxis]
    return (
        np.exp(2j * np.pi * np.outer(shifts, down) / side).astype(np.complex64),
        np.exp(2j * np.pi * np.outer(across, shifts) / side).astype(np.complex64),
        counts.astype(np.float32),
    )


def _search(one: Floats32, other: Floats32) -> tuple[Placement, Floats32]:
    """Find the mirroring, zoom and shift of ``other`` that correlate best with ``one``: placement (P, 4), (P,)."""
    count, side, _ = one.shape
    shifts = _shifts_px(side)
    shift_down, shift_across, counts = _shift_waves(side)
    # The detail does not depend on the mean; removing it improves precision.
    one, other = (each - each.mean(axis=(1, 2), keepdims=True) for each in (one, other))
    # Use only detail: under a fading window, coarse lighting would always favour shift 0.
    of_one = _spectrum(one, _waves(side, 1.0), counts)
    turn = np.exp(-2j * np.pi * np.arange(-_CYCLES[1], _CYCLES[1] + 1) * (side - 1) / side).astype(np.complex64)
    best = np.full(count, -np.inf, dtype=np.float32)
    placement = np.zeros((count, 4), dtype=np.float32)
    for zoom in ZOOMS:
        of_other = _spectrum(other, _waves(side, zoom), counts)
        # Mirroring reverses the horizontal frequencies. The phase corrects for the axis, which is not at pixel 0.
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
    """Compute spectra of detail, normalised so that their product is a correlation. (P, S, S) -> (P, F, G)."""
    frequencies = waves.shape[1] // 2
    fine, coarse = (np.matmul(np.matmul(each, images), each.T) for each in waves)
    parts = fine - coarse
    (cc, cs), (sc, ss) = (
        (half[:, :, :frequencies], half[:, :, frequencies:])
        for half in (parts[:, :frequencies], parts[:, frequencies:])
    )
    # exp(-ia) exp(-ib) for horizontal cycles >= 0, exp(-ia) exp(ib) for negative ones.
    right, left = (cc - ss) - 1j * (cs + sc), (cc + ss) - 1j * (sc - cs)
    spectrum = np.concatenate([left[:, :, :0:-1], right], axis=2) * np.sqrt(counts)
    length = np.sqrt(np.square(np.abs(spectrum)).sum(axis=(1, 2), keepdims=True))
    return np.asarray(spectrum / np.maximum(length, _NOTHING))


def _refine(one: Floats32, other: Floats32, placement: Placement) -> Floats32:
    """Improve zoom and shifts by a few Gauss-Newton steps on detail (Lucas & Kanade, IJCAI 1981), if that helps."""
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
    """Return the correlation at a placement (P,), and the step in zoom, down and across that increases it (P, 3)."""
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
    """Subtract a coarse blur from a fine one, over covered pixels only; ``rows`` x ``columns`` is the covered part."""
    side = images.shape[1]
    inside = rows[:, :, np.newaxis] * columns[:, np.newaxis, :]
    blurred = []
    for deviation in (_FINE, _COARSE):
        matrix = _blur_matrix(side, deviation)
        share = (rows @ matrix.T)[:, :, np.newaxis] * (columns @ matrix.T)[:, np.newaxis, :]
        blurred.append(np.matmul(np.matmul(matrix, images * inside), matrix.T) / np.maximum(share, _NOTHING))
    return np.asarray((blurred[0] - blurred[1]) * inside)
