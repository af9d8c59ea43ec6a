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

/// What runs src/mien/faces/networks/detector.onnx and the model: two ORTSessions.
public protocol Networks {
    /// RGBA of `height` x `width` pixels -> `faces`, (count, 15).
    func faces(_ pixels: [UInt8], height: Int, width: Int) throws -> [Float]
    /// (count, 1, cropPx, cropPx) -> (count, classes): the logits of the output that the manifest's `answer` names.
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

public struct Mien {
    let networks: Networks
    let manifest: Manifest

    /// The faces of an image, the largest first.
    public func predict(_ image: Image) throws -> [Answer] {
        let bright = brightened(image)
        return try detect(bright).map { face in
            let crop = faceCrop(bright, face)
            let (name, alternatives, probabilities) = try answer(ofCrop: crop)
            let answer = name != notAFace && sharpness(crop, manifest.sizePx) < 0.03 ? "unsure" : name
            return Answer(box: face.box, score: face.score, answer: answer, alternatives: alternatives, probabilities: probabilities)
        }
    }

    /// As src/mien/faces/find.py: doubtful faces are searched again, enlarged; if there is no face, in a framed copy.
    public func detect(_ image: Image) throws -> [Face] {
        let longer = max(image.width, image.height)
        var rows = try search(image, min(640, longer))
        if rows.isEmpty {
            let frame = Int(even(Double(longer) / 3))
            let framed = cut(image, -frame, -frame, image.width + 2 * frame, image.height + 2 * frame)
            rows = try search(framed, 192).map { moved($0, -frame, -frame) }
        }
        let faces = rows.map { row -> Face in
            func between(_ x: Int) -> Point { Point(x: (row[x] + row[x + 2]) / 2, y: (row[x + 1] + row[x + 3]) / 2) }
            let box = Box(left: even(row[0]), top: even(row[1]), width: max(even(row[2]), 1), height: max(even(row[3]), 1))
            return Face(box: box, score: row[4], eyes: between(5), mouth: between(11))
        }
        return faces.sorted { $0.box.width * $0.box.height > $1.box.width * $1.box.height }
    }

    private func search(_ image: Image, _ longerPx: Int) throws -> [[Double]] {
        var rows = try run(image, longerPx)
        for at in rows.indices.filter({ rows[$0][4] < 0.87 }).prefix(100) {
            let again = try scoreAgain(image, rows[at])
            rows[at][4] += 0.35 * (again - rows[at][4])
        }
        return rows.filter { $0[4] >= 0.56 }
    }

    private func scoreAgain(_ image: Image, _ row: [Double]) throws -> Double {
        let side = max(Int(even(3 * max(row[2], row[3]))), 1)
        let left = Int(even(row[0] + row[2] / 2 - Double(side) / 2))
        let top = Int(even(row[1] + row[3] / 2 - Double(side) / 2))
        let again = try run(cut(image, left, top, side, side), 160).map { moved($0, left, top) }
        return again.filter { iou(row, $0) > 0.4 }.map { $0[4] }.max() ?? 0
    }

    /// Left, top, width, height, score and five landmarks of each face, in pixels of the image.
    private func run(_ image: Image, _ longerPx: Int) throws -> [[Double]] {
        let scale = Double(max(image.width, image.height)) / Double(longerPx)
        let width = max(Int(even(Double(image.width) / scale)), 1)
        let height = max(Int(even(Double(image.height) / scale)), 1)
        let across = filtered(image.rgb.map(Double.init), image.height, image.width, 3, width, 1, triangle)
        let copy = filtered(across, 1, image.height, 3 * width, height, 1, triangle)
        let pixels = (0..<(4 * width * height)).map { $0 % 4 == 3 ? 255 : UInt8(copy[$0 / 4 * 3 + $0 % 4]) }
        let values = try networks.faces(pixels, height: height, width: width)
        return (0..<(values.count / 15)).map { row in
            (0..<15).map { Double(values[15 * row + $0]) * ($0 == 4 ? 1 : scale) }
        }
    }

    /// The grey face crop that the model sees, sizePx * sizePx values; examples/answer.py has the same in Python.
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

    private func resized(_ grey: [Double], _ side: Int) -> [Int] {
        let size = manifest.sizePx
        let across = filtered(grey, side, side, 1, size, 3, lanczos)
        return filtered(across, 1, side, size, size, 3, lanczos).map { Int($0) }
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
        let isUnsure = highest < manifest.unsureBelow || near.count > 2
        return (isUnsure ? "unsure" : top, near.sorted { $0.value > $1.value }.map { $0.name }, probabilities)
    }
}

/// Brightens a dark image until its brightest pixels are white.
private func brightened(_ image: Image) -> Image {
    var counts = [Int](repeating: 0, count: 256)
    for y in stride(from: 0, to: image.height, by: 4) {
        for x in stride(from: 0, to: image.width, by: 4) {
            for channel in 0..<3 { counts[image.rgb[3 * (y * image.width + x) + channel]] += 1 }
        }
    }
    let most = 0.995 * Double(counts.reduce(0, +))
    var (white, below) = (0, counts[0])
    while Double(below) < most {
        white += 1
        below += counts[white]
    }
    white = max(white, 8)
    if white >= 128 { return image }
    return Image(width: image.width, height: image.height, rgb: image.rgb.map { min(Int(Double($0) * (255 / Double(white))), 255) })
}

/// A part of an image, black outside it.
private func cut(_ image: Image, _ left: Int, _ top: Int, _ width: Int, _ height: Int) -> Image {
    let rgb = (0..<(3 * width * height)).map { at -> Int in
        let (x, y) = (left + at / 3 % width, top + at / 3 / width)
        let isInside = x >= 0 && y >= 0 && x < image.width && y < image.height
        return isInside ? image.rgb[3 * (y * image.width + x) + at % 3] : 0
    }
    return Image(width: width, height: height, rgb: rgb)
}

/// The mean squared second difference of a crop in its less sharp direction, divided by the variance.
private func sharpness(_ crop: [Int], _ size: Int) -> Double {
    let inside = (size / 8)..<(size - size / 8)
    let pixels = inside.flatMap { row in inside.map { Double(crop[row * size + $0]) } }
    let side = inside.count
    func average(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    func second(_ step: Int, _ rows: Int, _ columns: Int) -> Double {
        average((0..<rows).flatMap { row in
            (0..<columns).map { pow(pixels[row * side + $0] - 2 * pixels[row * side + $0 + step] + pixels[row * side + $0 + 2 * step], 2) }
        })
    }
    let mean = average(pixels)
    return min(second(side, side - 2, side), second(1, side, side - 2)) / max(average(pixels.map { pow($0 - mean, 2) }), 1e-6)
}

/// Moves a face's box and landmarks.
private func moved(_ row: [Double], _ left: Int, _ top: Int) -> [Double] {
    row.indices.map { at in
        row[at] + Double(at == 0 || at > 4 && at % 2 == 1 ? left : at == 1 || at > 4 ? top : 0)
    }
}

/// Resizes the middle axis of values (outer, from, inner) by a filter that reaches this many new pixels to both sides.
private func filtered(
    _ values: [Double], _ outer: Int, _ from: Int, _ inner: Int, _ to: Int, _ reach: Double, _ filter: (Double) -> Double
) -> [Double] {
    let scale = Double(from) / Double(to)
    let stretch = max(scale, 1)
    var result = [Double](repeating: 0, count: outer * to * inner)
    for at in 0..<to {
        let centre = (Double(at) + 0.5) * scale
        let first = max(Int(floor(centre - reach * stretch)), 0)
        let last = min(Int(ceil(centre + reach * stretch)), from)
        let weights = (first..<last).map { filter((Double($0) + 0.5 - centre) / stretch) }
        let total = weights.reduce(0, +)
        for row in 0..<outer {
            for each in 0..<inner {
                var sum = 0.0
                for tap in weights.indices { sum += weights[tap] * values[(row * from + first + tap) * inner + each] }
                result[(row * to + at) * inner + each] = min(max(floor(sum / total + 0.5), 0), 255)
            }
        }
    }
    return result
}

private func triangle(_ distance: Double) -> Double { max(1 - abs(distance), 0) }

private func lanczos(_ distance: Double) -> Double { abs(distance) < 3 ? sinc(distance) * sinc(distance / 3) : 0 }

private func sinc(_ value: Double) -> Double { value == 0 ? 1 : sin(Double.pi * value) / (Double.pi * value) }

/// Intersection over union of two faces' boxes.
private func iou(_ one: [Double], _ other: [Double]) -> Double {
    let width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    let height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    let shared = max(width, 0) * max(height, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)
}

/// Halves go to the even neighbour.
private func even(_ value: Double) -> Double { value.rounded(.toNearestOrEven) }
