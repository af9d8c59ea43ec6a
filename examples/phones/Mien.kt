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

/** What runs src/mien/faces/networks/detector.onnx and the model. */
interface Networks {
    /** RGBA of `height` x `width` pixels -> `faces`, (count, 15). */
    fun faces(pixels: ByteArray, height: Int, width: Int): FloatArray

    /** (count, 1, crop_px, crop_px) -> (count, classes): the logits of the output that the manifest's `answer` names. */
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
    fun predict(image: Image): List<Answer> {
        val bright = brightened(image)
        return detect(bright).map { face ->
            val crop = faceCrop(bright, face)
            val (name, alternatives, probabilities) = answerOfCrop(crop)
            val answer = if (name != NOT_A_FACE && sharpness(crop, manifest.sizePx) < 0.03) "unsure" else name
            Answer(face.box, face.score, answer, alternatives, probabilities)
        }
    }

    /** As src/mien/faces/find.py: doubtful faces are searched again, enlarged; if there is no face, in a framed copy. */
    fun detect(image: Image): List<Face> {
        val longer = max(image.width, image.height)
        val rows = search(image, min(640, longer)).ifEmpty {
            val frame = round(longer / 3.0).toInt()
            val framed = cut(image, -frame, -frame, image.width + 2 * frame, image.height + 2 * frame)
            search(framed, 192).map { moved(it, -frame, -frame) }
        }
        val faces = rows.map { row ->
            fun between(x: Int) = Point((row[x] + row[x + 2]) / 2, (row[x + 1] + row[x + 3]) / 2)
            Face(Box(round(row[0]), round(row[1]), max(round(row[2]), 1.0), max(round(row[3]), 1.0)), row[4], between(5), between(11))
        }
        return faces.sortedByDescending { it.box.width * it.box.height }
    }

    private fun search(image: Image, longerPx: Int): List<DoubleArray> {
        val rows = run(image, longerPx)
        for (row in rows.filter { it[4] < 0.87 }.take(100)) row[4] += 0.35 * (scoreAgain(image, row) - row[4])
        return rows.filter { it[4] >= 0.56 }
    }

    private fun scoreAgain(image: Image, row: DoubleArray): Double {
        val side = max(round(3 * max(row[2], row[3])).toInt(), 1)
        val left = round(row[0] + row[2] / 2 - side / 2.0).toInt()
        val top = round(row[1] + row[3] / 2 - side / 2.0).toInt()
        val again = run(cut(image, left, top, side, side), 160).map { moved(it, left, top) }
        return again.filter { iou(row, it) > 0.4 }.maxOfOrNull { it[4] } ?: 0.0
    }

    /** Left, top, width, height, score and five landmarks of each face, in pixels of the image. */
    private fun run(image: Image, longerPx: Int): List<DoubleArray> {
        val scale = max(image.width, image.height).toDouble() / longerPx
        val width = max(round(image.width / scale).toInt(), 1)
        val height = max(round(image.height / scale).toInt(), 1)
        val given = DoubleArray(image.rgb.size) { image.rgb[it].toDouble() }
        val across = filtered(given, image.height, image.width, 3, width, 1.0, ::triangle)
        val copy = filtered(across, 1, image.height, 3 * width, height, 1.0, ::triangle)
        val pixels = ByteArray(4 * width * height) { if (it % 4 == 3) -1 else copy[it / 4 * 3 + it % 4].toInt().toByte() }
        val values = networks.faces(pixels, height, width)
        return (0 until values.size / 15).map { row -> DoubleArray(15) { values[15 * row + it] * (if (it == 4) 1.0 else scale) } }
    }

    /** The grey face crop that the model sees, sizePx * sizePx values; examples/answer.py has the same in Python. */
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

    private fun resized(grey: DoubleArray, side: Int): IntArray {
        val size = manifest.sizePx
        val across = filtered(grey, side, side, 1, size, 3.0, ::lanczos)
        val down = filtered(across, 1, side, size, size, 3.0, ::lanczos)
        return IntArray(size * size) { down[it].toInt() }
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
        val isUnsure = highest < manifest.unsureBelow || near.size > 2
        return Triple(if (isUnsure) "unsure" else top, near.entries.sortedByDescending { it.value }.map { it.key }, probabilities)
    }
}

private const val NOT_A_FACE = "not-a-face"

/** Brightens a dark image until its brightest pixels are white. */
private fun brightened(image: Image): Image {
    val counts = IntArray(256)
    for (y in 0 until image.height step 4) for (x in 0 until image.width step 4) for (channel in 0..2) {
        counts[image.rgb[3 * (y * image.width + x) + channel]]++
    }
    var white = 0
    var below = counts[0]
    while (below < 0.995 * counts.sum()) below += counts[++white]
    white = max(white, 8)
    if (white >= 128) return image
    return Image(image.width, image.height, IntArray(image.rgb.size) { min((image.rgb[it] * (255.0 / white)).toInt(), 255) })
}

/** A part of an image, black outside it. */
private fun cut(image: Image, left: Int, top: Int, width: Int, height: Int) = Image(width, height, IntArray(3 * width * height) { at ->
    val x = left + at / 3 % width
    val y = top + at / 3 / width
    if (x in 0 until image.width && y in 0 until image.height) image.rgb[3 * (y * image.width + x) + at % 3] else 0
})

/** The mean squared second difference of a crop in its less sharp direction, divided by the variance. */
private fun sharpness(crop: IntArray, size: Int): Double {
    val inside = size / 8 until size - size / 8
    val pixels = inside.flatMap { row -> inside.map { crop[row * size + it].toDouble() } }
    val side = inside.count()
    fun second(step: Int, rows: Int, columns: Int) = (0 until rows).flatMap { row ->
        (0 until columns).map { val at = row * side + it; (pixels[at] - 2 * pixels[at + step] + pixels[at + 2 * step]).pow(2) }
    }.average()
    val mean = pixels.average()
    return min(second(side, side - 2, side), second(1, side, side - 2)) / max(pixels.map { (it - mean).pow(2) }.average(), 1e-6)
}

/** Moves a face's box and landmarks. */
private fun moved(row: DoubleArray, left: Int, top: Int) = DoubleArray(15) { at ->
    row[at] + if (at == 0 || at > 4 && at % 2 == 1) left else if (at == 1 || at > 4) top else 0
}

/** Resizes the middle axis of values (outer, from, inner) by a filter that reaches this many new pixels to both sides. */
private fun filtered(
    values: DoubleArray, outer: Int, from: Int, inner: Int, to: Int, reach: Double, filter: (Double) -> Double
): DoubleArray {
    val scale = from.toDouble() / to
    val stretch = max(scale, 1.0)
    val result = DoubleArray(outer * to * inner)
    for (at in 0 until to) {
        val centre = (at + 0.5) * scale
        val first = max(floor(centre - reach * stretch).toInt(), 0)
        val last = min(ceil(centre + reach * stretch).toInt(), from)
        val weights = DoubleArray(last - first) { filter((first + it + 0.5 - centre) / stretch) }
        val total = weights.sum()
        for (row in 0 until outer) for (each in 0 until inner) {
            var sum = 0.0
            for (tap in weights.indices) sum += weights[tap] * values[(row * from + first + tap) * inner + each]
            result[(row * to + at) * inner + each] = min(max(floor(sum / total + 0.5), 0.0), 255.0)
        }
    }
    return result
}

private fun triangle(distance: Double) = max(1 - abs(distance), 0.0)

private fun lanczos(distance: Double) = if (abs(distance) < 3) sinc(distance) * sinc(distance / 3) else 0.0

private fun sinc(value: Double) = if (value == 0.0) 1.0 else sin(PI * value) / (PI * value)

/** Intersection over union of two faces' boxes. */
private fun iou(one: DoubleArray, other: DoubleArray): Double {
    val width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    val height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    val shared = max(width, 0.0) * max(height, 0.0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)
}
