// From an image to the answers of its faces, with mien's own detector: plain Kotlin, no Android classes.
//
//     val mien = Mien(networks, manifest)      // OrtNetworks.kt; what mien web build writes as model.json, read by any JSON parser
//     for (face in mien.predict(image)) println("${face.box} ${face.answer} ${face.probabilities}")
//
// docs/embed.md says what each step is; check.py holds it to mien's own answers.

package mien

import kotlin.math.abs
import kotlin.math.atan2
import kotlin.math.ceil
import kotlin.math.cos
import kotlin.math.exp
import kotlin.math.floor
import kotlin.math.hypot
import kotlin.math.ln
import kotlin.math.max
import kotlin.math.min
import kotlin.math.PI
import kotlin.math.pow
import kotlin.math.round
import kotlin.math.sin
import kotlin.math.sqrt

/** An upright image: red, green and blue of each pixel, 0..255, row by row. */
class Image(val width: Int, val height: Int, val rgb: IntArray)

data class Box(val left: Double, val top: Double, val width: Double, val height: Double)

class Point(val x: Double, val y: Double)

/** `eyes` and `mouth` are the points between the eyes and between the mouth's corners. */
class Face(val box: Box, val score: Double, val eyes: Point? = null, val mouth: Point? = null)

class Answer(val box: Box, val score: Double, val answer: String, val alternatives: List<String>, val probabilities: Map<String, Double>)

/** What runs proposals.onnx, check.onnx (both of src/mien/faces/networks) and the model. */
interface Networks {
    /** RGBA of `height` x `width` pixels -> `cells`, (25, height / 32, width / 32). */
    fun proposals(pixels: ByteArray, height: Int, width: Int): FloatArray

    /** RGB of `count` squares of 48 pixels -> `faces`, (count, 16). */
    fun check(pixels: ByteArray, count: Int): FloatArray

    /** (count, 1, crop_px, crop_px) -> `logits_perceived`, (count, classes). */
    fun logits(images: FloatArray, count: Int): FloatArray
}

/** The parts of a model's manifest that an answer needs. */
class Manifest(
    val sizePx: Int,
    val cropPx: Int,
    val mean: Double,
    val std: Double,
    val classes: List<String>,
    val temperature: Double,
    val prior: List<Double>,
    val strength: Double,
    val weights: Map<String, Double>,
    val unsureBelow: Double,
    val margin: Double
)

class Mien(private val networks: Networks, private val manifest: Manifest) {
    /** The faces of an image, the largest first. */
    fun predict(image: Image): List<Answer> = detect(image).map { face ->
        val (name, alternatives, probabilities) = answerOfCrop(faceCrop(image, face))
        Answer(face.box, face.score, name, alternatives, probabilities)
    }

    /** mien's detector with one look, at 640 pixels; mien itself looks closer where this hints at smaller faces. */
    fun detect(image: Image): List<Face> {
        val scale = min(LOOK_PX, 2 * max(image.width, image.height)).toDouble() / max(image.width, image.height)
        val proposed = propose(image, scale).sortedByDescending { it.score }
        val squares = merged(proposed).take(MOST_FACES).map { reframed(it) }
        val first = checked(image, squares.map { squareOf(it.box) })
        val likely = squares.indices.filter { scoreOf(squares[it].score, first[it]) > 0.02 }
            .map { Face(regressed(squareOf(squares[it].box), first[it]), squares[it].score) }
        val second = checked(image, likely.map { squareOf(it.box) })
        val found = likely.mapIndexed { at, face ->
            val square = squareOf(face.box)
            val values = second[at]
            fun between(one: Int, other: Int) = Point(
                square.left + square.width * (values[6 + one] + values[6 + other]) / 2,
                square.top + square.width * (values[11 + one] + values[11 + other]) / 2
            )
            Face(mean(face.box, regressed(square, values)), scoreOf(face.score, values), between(0, 1), between(3, 4))
        }
        val kept = mutableListOf<Face>()
        for (face in found.filter { it.score >= 0.45 }.sortedByDescending { it.score }) {
            if (kept.all { iou(it.box, face.box) <= 0.3 && shared(it.box, face.box) / min(area(it.box), area(face.box)) <= 0.7 }) kept += face
        }
        return kept.sortedByDescending { area(it.box) }
    }

    private fun propose(image: Image, scale: Double): List<Face> {
        val (width, height) = Pair(image.width * scale, image.height * scale)
        val (columns, rows) = Pair(max(ceil(width / CELL - 1e-6).toInt(), 1), max(ceil(height / CELL - 1e-6).toInt(), 1))
        val copy = scaled(image, 0.0, 0.0, columns * CELL / scale, rows * CELL / scale, columns * CELL, rows * CELL, true)
        val pixels = ByteArray(columns * CELL * rows * CELL * 4) { at -> if (at % 4 == 3) -1 else copy.rgb[at / 4 * 3 + at % 4].toByte() }
        val cells = networks.proposals(pixels, rows * CELL, columns * CELL)
        val plane = rows * columns
        val faces = mutableListOf<Face>()
        for (anchor in ANCHORS.indices) for (cell in 0 until plane) {
            fun value(which: Int) = cells[(anchor * 5 + which) * plane + cell].toDouble()
            val score = sigmoid(value(4))
            if (score <= 0.06) continue
            val wide = exp(value(2)) * ANCHORS[anchor].first * CELL
            val high = exp(value(3)) * ANCHORS[anchor].second * CELL
            val left = (cell % columns + sigmoid(value(0))) * CELL - wide / 2
            val top = (cell / columns + sigmoid(value(1))) * CELL - high / 2
            faces += Face(Box(left / scale, top / scale, wide / scale, high / scale), score)
        }
        return faces
    }

    /** One face of proposals that agree: their mean box, by the squares of their scores. */
    private fun merged(proposed: List<Face>): List<Face> {
        val faces = mutableListOf<Face>()
        var left = proposed
        while (left.isNotEmpty()) {
            val group = left.filter { it === left[0] || iou(left[0].box, it.box) > 0.4 }
            fun mean(side: (Box) -> Double) = group.map { side(it.box) * it.score * it.score }.sum() / group.map { it.score * it.score }.sum()
            faces += Face(Box(mean { it.left }, mean { it.top }, mean { it.width }, mean { it.height }), left[0].score)
            left = left - group
        }
        return faces
    }

    private fun reframed(face: Face): Face = face.box.run {
        Face(Box(left + width * 0.12, top + height * (0.5 - 0.112 - 0.505), width * 0.76, height * 1.01), face.score)
    }

    private fun checked(image: Image, squares: List<Box>): List<FloatArray> {
        if (squares.isEmpty()) return emptyList()
        val pixels = squares.flatMap { square ->
            val (left, top) = Pair(round(square.left), round(square.top))
            val width = max(round(square.left + square.width) - left, 1.0)
            val height = max(round(square.top + square.width) - top, 1.0)
            scaled(image, left, top, width, height, 48, 48, false).rgb.toList()
        }
        val values = networks.check(ByteArray(pixels.size) { pixels[it].toByte() }, squares.size)
        return squares.indices.map { values.copyOfRange(16 * it, 16 * it + 16) }
    }

    /** The grey face crop that the model sees, sizePx * sizePx values; docs/embed.md has the same in Python. */
    fun faceCrop(image: Image, face: Face, marginOfBox: Double = 0.94): IntArray {
        val box = face.box
        var exact = marginOfBox * max(box.width, box.height)
        var (x, y) = Pair(box.left + box.width / 2, box.top + box.height / 2)
        val (eyes, mouth) = Pair(face.eyes, face.mouth)
        if (eyes != null && mouth != null) {
            exact = sqrt(exact * hypot(mouth.x - eyes.x, mouth.y - eyes.y) / 0.406)
            x = (eyes.x + mouth.x) / 2
            y = (eyes.y + mouth.y) / 2 - 0.085 * exact
        }
        val side = max(round(exact).toInt(), 1)
        val (left, top) = Pair(round(x - side / 2.0).toInt(), round(y - side / 2.0).toInt())
        fun grey(column: Int, row: Int): Int {
            val at = 3 * (min(max(row, 0), image.height - 1) * image.width + min(max(column, 0), image.width - 1))
            return (19595 * image.rgb[at] + 38470 * image.rgb[at + 1] + 7471 * image.rgb[at + 2] + 32768) shr 16
        }
        if (eyes != null && mouth != null) {
            val (middleX, middleY) = Pair((eyes.x + mouth.x) / 2, (eyes.y + mouth.y) / 2)
            val tilt = atan2(eyes.x - middleX, middleY - eyes.y)
            if (abs(tilt) >= 15 * PI / 180) {
                val count = min(side, 384)
                val turned = DoubleArray(count * count) { at ->
                    val across = left - middleX + (at % count + 0.5) * side / count
                    val down = top - middleY + (at / count + 0.5) * side / count
                    val column = min(max(middleX + cos(tilt) * across - sin(tilt) * down - 0.5, 0.0), image.width - 1.0)
                    val row = min(max(middleY + sin(tilt) * across + cos(tilt) * down - 0.5, 0.0), image.height - 1.0)
                    val (first, above) = Pair(column.toInt(), row.toInt())
                    fun between(of: Int) = grey(first, of) * (1 - column + first) + grey(first + 1, of) * (column - first)
                    floor(between(above) * (1 - row + above) + between(above + 1) * (row - above) + 0.5)
                }
                return resized(turned, count)
            }
        }
        return resized(DoubleArray(side * side) { grey(left + it % side, top + it / side).toDouble() }, side)
    }

    /** Lanczos's filter, across and then down. */
    private fun resized(grey: DoubleArray, side: Int): IntArray {
        val size = manifest.sizePx
        val scale = side.toDouble() / size
        val weights = Array(size) { to ->
            val all = DoubleArray(side) { from ->
                val distance = (from + 0.5 - (to + 0.5) * scale) / max(scale, 1.0)
                if (abs(distance) < 3) sinc(distance) * sinc(distance / 3) else 0.0
            }
            val sum = all.sum()
            DoubleArray(side) { all[it] / sum }
        }
        fun rounded(value: Double) = min(max(floor(value + 0.5), 0.0), 255.0)
        val across = DoubleArray(side * size) { at -> rounded((0 until side).fold(0.0) { sum, it -> sum + weights[at % size][it] * grey[at / size * side + it] }) }
        return IntArray(size * size) { at -> rounded((0 until side).fold(0.0) { sum, it -> sum + weights[at / size][it] * across[it * size + at % size] }).toInt() }
    }

    /** The answer, its alternatives (the most probable first), and all probabilities: the mean of the crop and its mirror image. */
    fun answerOfCrop(crop: IntArray): Triple<String, List<String>, Map<String, Double>> {
        val (size, seen) = Pair(manifest.sizePx, manifest.cropPx)
        val start = (size - seen) / 2
        val images = FloatArray(2 * seen * seen) { at ->
            val (row, column) = Pair(at / seen % seen, at % seen)
            val from = start + (if (at < seen * seen) column else seen - 1 - column)
            ((crop[(start + row) * size + from] / 255.0 - manifest.mean) / manifest.std).toFloat()
        }
        val logits = networks.logits(images, 2)
        val count = manifest.classes.size
        val (plain, mirrored) = Pair(byRule(logits.copyOfRange(0, count)), byRule(logits.copyOfRange(count, 2 * count)))
        return decide(plain.mapValues { (name, value) -> (value + mirrored.getValue(name)) / 2 })
    }

    private fun byRule(logits: FloatArray): Map<String, Double> {
        val highest = logits.fold(-Float.MAX_VALUE) { most, each -> max(most, each) }
        val powers = logits.map { exp((it - highest) / manifest.temperature) }
        val shares = powers.map { it / powers.sum() + 1e-12 }
        val isExpression = manifest.classes.map { it != "unknown" && it != NOT_A_FACE }
        val weighted = shares.mapIndexed { at, share ->
            val factor = (manifest.weights[manifest.classes[at]] ?: 1.0) / manifest.prior[at].pow(manifest.strength)
            if (isExpression[at]) share * factor else 0.0
        }
        val scale = shares.filterIndexed { at, _ -> isExpression[at] }.sum() / weighted.sum()
        val kept = manifest.classes.indices.filter { manifest.classes[it] != "unknown" }
            .associate { manifest.classes[it] to if (isExpression[it]) weighted[it] * scale else shares[it] }
        return kept.mapValues { it.value / kept.values.sum() }
    }

    private fun decide(probabilities: Map<String, Double>): Triple<String, List<String>, Map<String, Double>> {
        val (top, highest) = probabilities.entries.sortedByDescending { it.value }.first()
        if (top == NOT_A_FACE) return Triple(top, emptyList(), probabilities)
        val near = probabilities.filter { (name, value) -> name != top && name != NOT_A_FACE && highest - value < manifest.margin }
        return Triple(if (highest < manifest.unsureBelow) "unsure" else top, near.entries.sortedByDescending { it.value }.map { it.key }, probabilities)
    }
}

private const val NOT_A_FACE = "not-a-face"
private const val CELL = 32
private const val LOOK_PX = 640
private const val MOST_FACES = 64
private val ANCHORS = listOf(1.603231 to 2.094468, 6.041143 to 7.080126, 2.882459 to 3.518061, 4.266906 to 5.178857, 9.041765 to 10.66308)

/** A part of an image in another size: the mean of what each new pixel covers. Beyond the border it repeats, or is black. */
private fun scaled(image: Image, left: Double, top: Double, width: Double, height: Double, columns: Int, rows: Int, repeats: Boolean): Image {
    val rgb = IntArray(columns * rows * 3)
    for (row in 0 until rows) for (column in 0 until columns) {
        val sums = DoubleArray(3)
        val (firstX, lastX) = span(left, width / columns, column)
        val (firstY, lastY) = span(top, height / rows, row)
        for (y in firstY..lastY) for (x in firstX..lastX) {
            if (!repeats && (x < 0 || y < 0 || x >= image.width || y >= image.height)) continue
            val at = 3 * (min(max(y, 0), image.height - 1) * image.width + min(max(x, 0), image.width - 1))
            for (channel in 0..2) sums[channel] += image.rgb[at + channel].toDouble()
        }
        val count = (lastX - firstX + 1) * (lastY - firstY + 1)
        for (channel in 0..2) rgb[3 * (row * columns + column) + channel] = round(sums[channel] / count).toInt()
    }
    return Image(columns, rows, rgb)
}

private fun span(start: Double, step: Double, at: Int): Pair<Int, Int> {
    val first = floor(start + at * step + 1e-9).toInt()
    return Pair(first, max(ceil(start + (at + 1) * step - 1e-9).toInt() - 1, first))
}

private fun squareOf(box: Box): Box {
    val side = max(box.width, box.height)
    return Box(box.left + (box.width - side) / 2, box.top + (box.height - side) / 2, side, side)
}

private fun regressed(square: Box, values: FloatArray): Box {
    val (west, north, east, south) = (2..5).map { values[it] * square.width }
    return Box(square.left + west, square.top + north, max(square.width + east - west, 1.0), max(square.width + south - north, 1.0))
}

private fun scoreOf(proposed: Double, values: FloatArray): Double {
    fun clipped(value: Float) = min(max(value.toDouble(), -4.0), 4.0)
    return sigmoid((clipped(values[0]) + clipped(values[1])) / 2 + ln(proposed))
}

private fun mean(one: Box, other: Box) =
    Box((one.left + other.left) / 2, (one.top + other.top) / 2, (one.width + other.width) / 2, (one.height + other.height) / 2)

private fun shared(one: Box, other: Box): Double {
    val width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    val height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    return max(width, 0.0) * max(height, 0.0)
}

private fun area(box: Box) = box.width * box.height

private fun iou(one: Box, other: Box) = shared(one, other) / (area(one) + area(other) - shared(one, other))

private fun sigmoid(value: Double) = 1 / (1 + exp(-value))

private fun sinc(value: Double) = if (value == 0.0) 1.0 else sin(PI * value) / (PI * value)
