import mien.*
import java.io.*
import java.nio.*
fun ints(n: Int, s: DataInputStream) = IntArray(n) { s.readUnsignedByte() }
/** Lets check.py try Mien.kt over a pipe: it sends the manifest and images, and runs the networks. */
fun main(args: Array<String>) {
    val input = DataInputStream(BufferedInputStream(System.`in`))
    val output = DataOutputStream(BufferedOutputStream(System.out))
    fun ask(kind: Int, dims: List<Int>, bytes: ByteArray): FloatArray {
        output.writeInt(kind); output.writeInt(dims.size); dims.forEach { output.writeInt(it) }; output.writeInt(bytes.size); output.write(bytes); output.flush()
        return FloatArray(input.readInt()) { input.readFloat() }
    }
    val networks = object : Networks {
        override fun faces(pixels: ByteArray, height: Int, width: Int) = ask(1, listOf(height, width), pixels)
        override fun logits(images: FloatArray, count: Int): FloatArray {
            val buffer = ByteBuffer.allocate(4 * images.size); images.forEach { buffer.putFloat(it) }
            return ask(2, listOf(count), buffer.array())
        }
    }
    fun text() = input.readUTF()
    val n = input.readInt()
    val classes = (0 until n).map { text() }
    val prior = (0 until n).map { input.readDouble() }
    val d = { input.readDouble() }
    val size = input.readInt(); val seen = input.readInt()
    val manifest = Manifest(size, seen, d(), d(), classes, d(), prior, d(), (0 until input.readInt()).associate { text() to d() }, d(), d())
    val mien = Mien(networks, manifest)
    while (true) {
        val what = input.readInt()
        if (what == 0) break
        val w = input.readInt(); val h = input.readInt()
        val image = Image(w, h, ints(3 * w * h, input))
        val lines = if (what == 1) {
            val box = Box(d(), d(), d(), d())
            val points = (0 until input.readInt()).map { Point(d(), d()) }
            val crop = mien.faceCrop(image, Face(box, 1.0, points.getOrNull(0), points.getOrNull(1)))
            val (name, others, all) = mien.answerOfCrop(crop)
            listOf(crop.joinToString(","), name, others.joinToString(","), all.entries.joinToString(",") { "${it.key}=${it.value}" })
        } else mien.predict(image).map { "${it.box.left},${it.box.top},${it.box.width},${it.box.height};${it.score};${it.answer};${it.alternatives.joinToString(",")};" + it.probabilities.entries.joinToString(",") { e -> "${e.key}=${e.value}" } }
        output.writeInt(0); output.writeInt(lines.size); lines.forEach { output.writeUTF(it) }; output.flush()
    }
}
