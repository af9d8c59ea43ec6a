// The networks by ONNX Runtime: implementation("com.microsoft.onnxruntime:onnxruntime-android:1.22.0"). Not compiled here.

package mien

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer
import java.nio.FloatBuffer

/** Each argument is the content of a file: src/mien/faces/networks/proposals.onnx and check.onnx, and a model. */
class OrtNetworks(proposals: ByteArray, check: ByteArray, model: ByteArray, private val cropPx: Int = 44) : Networks {
    private val environment = OrtEnvironment.getEnvironment()
    private val proposals = environment.createSession(proposals)
    private val check = environment.createSession(check)
    private val model = environment.createSession(model)

    override fun proposals(pixels: ByteArray, height: Int, width: Int) =
        run(proposals, "pixels", bytes(pixels, height.toLong(), width.toLong(), 4), "cells")

    override fun check(pixels: ByteArray, count: Int) = run(check, "pixels", bytes(pixels, count.toLong(), 48, 48, 3), "faces")

    override fun logits(images: FloatArray, count: Int): FloatArray {
        val shape = longArrayOf(count.toLong(), 1, cropPx.toLong(), cropPx.toLong())
        return run(model, "images", OnnxTensor.createTensor(environment, FloatBuffer.wrap(images), shape), "logits_perceived")
    }

    private fun bytes(pixels: ByteArray, vararg shape: Long) =
        OnnxTensor.createTensor(environment, ByteBuffer.wrap(pixels), shape, OnnxJavaType.UINT8)

    private fun run(session: OrtSession, name: String, input: OnnxTensor, output: String): FloatArray = input.use {
        session.run(mapOf(name to input), setOf(output)).use { result ->
            val values = (result[0] as OnnxTensor).floatBuffer
            FloatArray(values.remaining()) { values.get(it) }
        }
    }
}
