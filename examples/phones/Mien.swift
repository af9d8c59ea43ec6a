// From an image to the answers of its faces, with mien's own detector. A translation of Mien.kt, line for line. Not compiled here:
// hold it to docs/embed-vectors.json (crops the same, probabilities within 0.01) before you use it.

import Foundation

/// An upright image: red, green and blue of each pixel, 0...255, row by row.
public struct Image {
    let width: Int, height: Int
    let rgb: [Int]
}

public struct Box {
    let left: Double, top: Double, width: Double, height: Double
    var area: Double { width * height }
}

public struct Point {
    let x: Double, y: Double
}

/// `eyes` and `mouth` are the points between the eyes and between the mouth's corners.
public struct Face {
    let box: Box
    let score: Double
    var eyes: Point? = nil
    var mouth: Point? = nil
}

public struct Answer {
    let box: Box
    let score: Double
    let answer: String
    let alternatives: [String]
    let probabilities: [(name: String, value: Double)]
}

/// What runs proposals.onnx, check.onnx (both of src/mien/faces/networks) and the model: three ORTSessions.
public protocol Networks {
    /// RGBA of `height` x `width` pixels -> `cells`, (25, height / 32, width / 32).
    func proposals(_ pixels: [UInt8], height: Int, width: Int) throws -> [Float]
    /// RGB of `count` squares of 48 pixels -> `faces`, (count, 16).
    func check(_ pixels: [UInt8], count: Int) throws -> [Float]
    /// (count, 1, cropPx, cropPx) -> `logits_perceived`, (count, classes).
    func logits(_ images: [Float], count: Int) throws -> [Float]
}

/// The parts of a model's manifest that an answer needs; `mien web build` writes it as model.json.
public struct Manifest {
    let sizePx: Int, cropPx: Int
    let mean: Double, std: Double
    let classes: [String]
    let temperature: Double
    let prior: [Double]
    let strength: Double
    let weights: [String: Double]
    let unsureBelow: Double, margin: Double
}

private typealias Shares = [(name: String, value: Double)]

private let notAFace = "not-a-face"
private let cell = 32
private let lookPx = 640
private let mostFaces = 64
private let anchors = [(1.603231, 2.094468), (6.041143, 7.080126), (2.882459, 3.518061), (4.266906, 5.178857), (9.041765, 10.66308)]

public struct Mien {
    let networks: Networks
    let manifest: Manifest

    /// The faces of an image, the largest first.
    public func predict(_ image: Image) throws -> [Answer] {
        try detect(image).map { face in
            let (name, alternatives, probabilities) = try answer(ofCrop: faceCrop(image, face))
            return Answer(box: face.box, score: face.score, answer: name, alternatives: alternatives, probabilities: probabilities)
        }
    }

    /// mien's detector with one look, at 640 pixels; mien itself looks closer where this hints at smaller faces.
    public func detect(_ image: Image) throws -> [Face] {
        let longer = max(image.width, image.height)
        let scale = Double(min(lookPx, 2 * longer)) / Double(longer)
        let proposed = try propose(image, scale).sorted { $0.score > $1.score }
        let squares = merged(proposed).prefix(mostFaces).map(reframed)
        let first = try checked(image, squares.map { squareOf($0.box) })
        let likely = zip(squares, first).compactMap { face, values -> Face? in
            scoreOf(face.score, values) > 0.02 ? Face(box: regressed(squareOf(face.box), values), score: face.score) : nil
        }
        let second = try checked(image, likely.map { squareOf($0.box) })
        let found = zip(likely, second).map { face, values -> Face in
            let square = squareOf(face.box)
            func between(_ one: Int, _ other: Int) -> Point {
                Point(
                    x: square.left + square.width * Double(values[6 + one] + values[6 + other]) / 2,
                    y: square.top + square.width * Double(values[11 + one] + values[11 + other]) / 2
                )
            }
            let box = meanOf(face.box, regressed(square, values))
            return Face(box: box, score: scoreOf(face.score, values), eyes: between(0, 1), mouth: between(3, 4))
        }
        var kept: [Face] = []
        for face in found.filter({ $0.score >= 0.45 }).sorted(by: { $0.score > $1.score }) {
            let isNew = kept.allSatisfy {
                iou($0.box, face.box) <= 0.3 && shared($0.box, face.box) / min($0.box.area, face.box.area) <= 0.7
            }
            if isNew { kept.append(face) }
        }
        return kept.sorted { $0.box.area > $1.box.area }
    }

    private func propose(_ image: Image, _ scale: Double) throws -> [Face] {
        let columns = max(Int(ceil(Double(image.width) * scale / Double(cell) - 1e-6)), 1)
        let rows = max(Int(ceil(Double(image.height) * scale / Double(cell) - 1e-6)), 1)
        let (wide, high) = (columns * cell, rows * cell)
        let copy = scaled(image, 0, 0, Double(wide) / scale, Double(high) / scale, wide, high, repeats: true)
        let pixels = (0..<(wide * high * 4)).map { $0 % 4 == 3 ? 255 : UInt8(copy.rgb[$0 / 4 * 3 + $0 % 4]) }
        let cells = try networks.proposals(pixels, height: high, width: wide)
        let plane = rows * columns
        var faces: [Face] = []
        for (anchor, size) in anchors.enumerated() {
            for at in 0..<plane {
                func value(_ which: Int) -> Double { Double(cells[(anchor * 5 + which) * plane + at]) }
                let score = sigmoid(value(4))
                if score <= 0.06 { continue }
                let width = exp(value(2)) * size.0 * Double(cell)
                let height = exp(value(3)) * size.1 * Double(cell)
                let left = (Double(at % columns) + sigmoid(value(0))) * Double(cell) - width / 2
                let top = (Double(at / columns) + sigmoid(value(1))) * Double(cell) - height / 2
                faces.append(Face(box: Box(left: left / scale, top: top / scale, width: width / scale, height: height / scale), score: score))
            }
        }
        return faces
    }

    /// One face of proposals that agree: their mean box, by the squares of their scores.
    private func merged(_ proposed: [Face]) -> [Face] {
        var faces: [Face] = []
        var left = proposed
        while let best = left.first {
            let group = left.enumerated().filter { $0.offset == 0 || iou(best.box, $0.element.box) > 0.4 }
            let total = group.reduce(0) { $0 + $1.element.score * $1.element.score }
            func mean(_ side: (Box) -> Double) -> Double {
                group.reduce(0) { $0 + side($1.element.box) * $1.element.score * $1.element.score } / total
            }
            let box = Box(left: mean { $0.left }, top: mean { $0.top }, width: mean { $0.width }, height: mean { $0.height })
            faces.append(Face(box: box, score: best.score))
            let grouped = Set(group.map { $0.offset })
            left = left.enumerated().filter { !grouped.contains($0.offset) }.map { $0.element }
        }
        return faces
    }

    private func reframed(_ face: Face) -> Face {
        let box = face.box
        let top = box.top + box.height * (0.5 - 0.112 - 0.505)
        return Face(box: Box(left: box.left + box.width * 0.12, top: top, width: box.width * 0.76, height: box.height * 1.01), score: face.score)
    }

    private func checked(_ image: Image, _ squares: [Box]) throws -> [[Float]] {
        if squares.isEmpty { return [] }
        let pixels = squares.flatMap { square -> [UInt8] in
            let (left, top) = (even(square.left), even(square.top))
            let width = max(even(square.left + square.width) - left, 1)
            let height = max(even(square.top + square.width) - top, 1)
            return scaled(image, left, top, width, height, 48, 48, repeats: false).rgb.map { UInt8($0) }
        }
        let values = try networks.check(pixels, count: squares.count)
        return squares.indices.map { Array(values[(16 * $0)..<(16 * $0 + 16)]) }
    }

    /// The grey face crop that the model sees, sizePx * sizePx values; docs/embed.md has the same in Python.
    public func faceCrop(_ image: Image, _ face: Face, marginOfBox: Double = 0.94) -> [Int] {
        let box = face.box
        var exact = marginOfBox * max(box.width, box.height)
        var (x, y) = (box.left + box.width / 2, box.top + box.height / 2)
        if let eyes = face.eyes, let mouth = face.mouth {
            exact = sqrt(exact * hypot(mouth.x - eyes.x, mouth.y - eyes.y) / 0.406)
            (x, y) = ((eyes.x + mouth.x) / 2, (eyes.y + mouth.y) / 2 - 0.085 * exact)
        }
        let side = max(Int(even(exact)), 1)
        let (left, top) = (Int(even(x - Double(side) / 2)), Int(even(y - Double(side) / 2)))
        func grey(_ column: Int, _ row: Int) -> Double {
            let at = 3 * (min(max(row, 0), image.height - 1) * image.width + min(max(column, 0), image.width - 1))
            return Double((19595 * image.rgb[at] + 38470 * image.rgb[at + 1] + 7471 * image.rgb[at + 2] + 32768) >> 16)
        }
        if let eyes = face.eyes, let mouth = face.mouth {
            let (middleX, middleY) = ((eyes.x + mouth.x) / 2, (eyes.y + mouth.y) / 2)
            let tilt = atan2(eyes.x - middleX, middleY - eyes.y)
            if abs(tilt) >= 15 * Double.pi / 180 {
                let count = min(side, 384)
                let turned = (0..<(count * count)).map { at -> Double in
                    let across = Double(left) - middleX + (Double(at % count) + 0.5) * Double(side) / Double(count)
                    let down = Double(top) - middleY + (Double(at / count) + 0.5) * Double(side) / Double(count)
                    let column = min(max(middleX + cos(tilt) * across - sin(tilt) * down - 0.5, 0), Double(image.width - 1))
                    let row = min(max(middleY + sin(tilt) * across + cos(tilt) * down - 0.5, 0), Double(image.height - 1))
                    let (first, above) = (Int(column), Int(row))
                    func between(_ of: Int) -> Double {
                        grey(first, of) * (1 - column + Double(first)) + grey(first + 1, of) * (column - Double(first))
                    }
                    return floor(between(above) * (1 - row + Double(above)) + between(above + 1) * (row - Double(above)) + 0.5)
                }
                return resized(turned, count)
            }
        }
        return resized((0..<(side * side)).map { grey(left + $0 % side, top + $0 / side) }, side)
    }

    /// Lanczos's filter, across and then down.
    private func resized(_ grey: [Double], _ side: Int) -> [Int] {
        let size = manifest.sizePx
        let scale = Double(side) / Double(size)
        let weights = (0..<size).map { to -> [Double] in
            let all = (0..<side).map { from -> Double in
                let distance = (Double(from) + 0.5 - (Double(to) + 0.5) * scale) / max(scale, 1)
                return abs(distance) < 3 ? sinc(distance) * sinc(distance / 3) : 0
            }
            let sum = all.reduce(0, +)
            return all.map { $0 / sum }
        }
        func rounded(_ value: Double) -> Double { min(max(floor(value + 0.5), 0), 255) }
        let across = (0..<(side * size)).map { at -> Double in
            rounded((0..<side).reduce(0.0) { $0 + weights[at % size][$1] * grey[at / size * side + $1] })
        }
        return (0..<(size * size)).map { at -> Int in
            Int(rounded((0..<side).reduce(0.0) { $0 + weights[at / size][$1] * across[$1 * size + at % size] }))
        }
    }

    /// The answer, its alternatives (the most probable first), and all probabilities: the mean of the crop and its mirror image.
    public func answer(ofCrop crop: [Int]) throws -> (String, [String], [(name: String, value: Double)]) {
        let (size, seen) = (manifest.sizePx, manifest.cropPx)
        let start = (size - seen) / 2
        let images = (0..<(2 * seen * seen)).map { at -> Float in
            let (row, column) = (at / seen % seen, at % seen)
            let from = start + (at < seen * seen ? column : seen - 1 - column)
            return Float((Double(crop[(start + row) * size + from]) / 255 - manifest.mean) / manifest.std)
        }
        let logits = try networks.logits(images, count: 2)
        let count = manifest.classes.count
        let (plain, mirrored) = (byRule(Array(logits[0..<count])), byRule(Array(logits[count..<(2 * count)])))
        return decide(zip(plain, mirrored).map { ($0.name, ($0.value + $1.value) / 2) })
    }

    private func byRule(_ logits: [Float]) -> Shares {
        let highest = logits.max()!
        let powers = logits.map { exp(Double($0 - highest) / manifest.temperature) }
        let sum = powers.reduce(0, +)
        let shares = powers.map { $0 / sum + 1e-12 }
        let isExpression = manifest.classes.map { $0 != "unknown" && $0 != notAFace }
        let weighted = shares.indices.map { at -> Double in
            isExpression[at] ? shares[at] * (manifest.weights[manifest.classes[at]] ?? 1) / pow(manifest.prior[at], manifest.strength) : 0
        }
        let ofExpressions = shares.indices.filter { isExpression[$0] }.reduce(0.0) { $0 + shares[$1] }
        let scale = ofExpressions / weighted.reduce(0, +)
        let kept = manifest.classes.indices.filter { manifest.classes[$0] != "unknown" }
            .map { (name: manifest.classes[$0], value: isExpression[$0] ? weighted[$0] * scale : shares[$0]) }
        let total = kept.reduce(0.0) { $0 + $1.value }
        return kept.map { (name: $0.name, value: $0.value / total) }
    }

    private func decide(_ probabilities: Shares) -> (String, [String], [(name: String, value: Double)]) {
        let highest = probabilities.map { $0.value }.max()!
        let top = probabilities.first { $0.value == highest }!.name
        if top == notAFace { return (top, [], probabilities) }
        let near = probabilities.filter { $0.name != top && $0.name != notAFace && highest - $0.value < manifest.margin }
        return (highest < manifest.unsureBelow ? "unsure" : top, near.sorted { $0.value > $1.value }.map { $0.name }, probabilities)
    }
}

/// A part of an image in another size: the mean of what each new pixel covers. Beyond the border it repeats, or is black.
private func scaled(
    _ image: Image, _ left: Double, _ top: Double, _ width: Double, _ height: Double, _ columns: Int, _ rows: Int, repeats: Bool
) -> Image {
    var rgb = [Int](repeating: 0, count: columns * rows * 3)
    for row in 0..<rows {
        for column in 0..<columns {
            var sums = [0, 0, 0]
            let (acrossPixels, downPixels) = (span(left, width / Double(columns), column), span(top, height / Double(rows), row))
            for y in downPixels {
                for x in acrossPixels {
                    if !repeats && (x < 0 || y < 0 || x >= image.width || y >= image.height) { continue }
                    let at = 3 * (min(max(y, 0), image.height - 1) * image.width + min(max(x, 0), image.width - 1))
                    for channel in 0..<3 { sums[channel] += image.rgb[at + channel] }
                }
            }
            let count = Double(acrossPixels.count * downPixels.count)
            for channel in 0..<3 { rgb[3 * (row * columns + column) + channel] = Int(even(Double(sums[channel]) / count)) }
        }
    }
    return Image(width: columns, height: rows, rgb: rgb)
}

private func span(_ start: Double, _ step: Double, _ at: Int) -> ClosedRange<Int> {
    let first = Int(floor(start + Double(at) * step + 1e-9))
    return first...max(Int(ceil(start + Double(at + 1) * step - 1e-9)) - 1, first)
}

private func squareOf(_ box: Box) -> Box {
    let side = max(box.width, box.height)
    return Box(left: box.left + (box.width - side) / 2, top: box.top + (box.height - side) / 2, width: side, height: side)
}

private func regressed(_ square: Box, _ values: [Float]) -> Box {
    let (west, north) = (Double(values[2]) * square.width, Double(values[3]) * square.width)
    let (east, south) = (Double(values[4]) * square.width, Double(values[5]) * square.width)
    return Box(left: square.left + west, top: square.top + north, width: max(square.width + east - west, 1), height: max(square.width + south - north, 1))
}

private func scoreOf(_ proposed: Double, _ values: [Float]) -> Double {
    func clipped(_ value: Float) -> Double { min(max(Double(value), -4), 4) }
    return sigmoid((clipped(values[0]) + clipped(values[1])) / 2 + log(proposed))
}

private func meanOf(_ one: Box, _ other: Box) -> Box {
    Box(left: (one.left + other.left) / 2, top: (one.top + other.top) / 2, width: (one.width + other.width) / 2, height: (one.height + other.height) / 2)
}

private func shared(_ one: Box, _ other: Box) -> Double {
    let width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    let height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    return max(width, 0) * max(height, 0)
}

private func iou(_ one: Box, _ other: Box) -> Double {
    shared(one, other) / (one.area + other.area - shared(one, other))
}

private func sigmoid(_ value: Double) -> Double { 1 / (1 + exp(-value)) }

private func sinc(_ value: Double) -> Double { value == 0 ? 1 : sin(Double.pi * value) / (Double.pi * value) }

/// Halves go to the even neighbour.
private func even(_ value: Double) -> Double { value.rounded(.toNearestOrEven) }
