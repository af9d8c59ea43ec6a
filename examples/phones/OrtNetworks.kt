// The networks by ONNX Runtime: implementation("com.microsoft.onnxruntime:onnxruntime-android:1.22.0"). Not compiled here.

package mien

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer
import java.nio.FloatBuffer

/** `detector` and `model` are the contents of src/mien/faces/networks/detector.onnx and a model; `output` is `answer.output` of its manifest. */
class OrtNetworks(detector: ByteArray, model: ByteArray, private val output: String = "photographs", private val cropPx: Int = 44) : Networks {
    private val environment = OrtEnvironment.getEnvironment()
    private val detector = environment.createSession(detector)
    private val model = environment.createSession(model)

    override fun faces(pixels: ByteArray, height: Int, width: Int): FloatArray {
        val shape = longArrayOf(height.toLong(), width.toLong(), 4)
        return run(detector, "pixels", OnnxTensor.createTensor(environment, ByteBuffer.wrap(pixels), shape, OnnxJavaType.UINT8), "faces")
    }

    override fun logits(images: FloatArray, count: Int): FloatArray {
        val shape = longArrayOf(count.toLong(), 1, cropPx.toLong(), cropPx.toLong())
        return run(model, "images", OnnxTensor.createTensor(environment, FloatBuffer.wrap(images), shape), "logits_$output")
    }

    private fun run(session: OrtSession, name: String, input: OnnxTensor, output: String): FloatArray = input.use {
        session.run(mapOf(name to input), setOf(output)).use { result ->
            val values = (result[0] as OnnxTensor).floatBuffer
            FloatArray(values.remaining()) { values.get(it) }
        }
    }
}
