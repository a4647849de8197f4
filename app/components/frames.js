// What every view of samples needs: typed arrays out of text, a sharp canvas, pictures by step.
function decode(text, Kind) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0))
  return new Kind(bytes.buffer)
}

function element(tag, name, text) {
  const made = document.createElement(tag)
  if (name) made.className = name
  if (text !== undefined) made.textContent = text
  return made
}

// A canvas as wide as its place; its pixels are those of the screen.
function fitted(canvas, ratio) {
  const width = Math.max(80, canvas.clientWidth)
  const height = Math.round(width * ratio)
  const dense = window.devicePixelRatio || 1
  if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
    canvas.width = Math.round(width * dense)
    canvas.height = Math.round(height * dense)
    canvas.style.height = `${height}px`
  }
  const pen = canvas.getContext("2d")
  pen.setTransform(dense, 0, 0, dense, 0, 0)
  pen.clearRect(0, 0, width, height)
  return [pen, width, height]
}

// The frames of one run: a row of the sprite is a step, a column a sample.
function source(run, data, loaded) {
  const image = new Image()
  const [tall, wide] = data.tile
  const count = data.seeds.length
  let reader = null
  image.onload = loaded
  image.src = run.sprite
  return {
    image,
    get ready() { return image.complete && image.naturalWidth > 0 },
    draw(pen, step, i, x, y, width, height) {
      pen.drawImage(image, i * wide, step * tall, wide, tall, x, y, width, height)
    },
    // The pixels of all samples at a step, as they are stored: RGBA, sample beside sample.
    pixels(step) {
      reader ??= Object.assign(document.createElement("canvas"), { width: count * wide, height: tall })
        .getContext("2d", { willReadFrequently: true })
      reader.clearRect(0, 0, count * wide, tall)
      reader.drawImage(image, 0, step * tall, count * wide, tall, 0, 0, count * wide, tall)
      return reader.getImageData(0, 0, count * wide, tall).data
    },
  }
}

// Where the tiles of a grid lie, in the order in which they are shown.
function tiled(data, width, bar, order) {
  const gap = 6
  const columns = data.columns
  const tile = (width - gap * (columns - 1)) / columns
  const tall = tile * data.tile[0] / data.tile[1]
  const row = tall + bar + gap
  const lines = Math.ceil(data.seeds.length / columns)
  const places = order.map((i, at) => ({
    i, x: (at % columns) * (tile + gap), y: Math.floor(at / columns) * row, width: tile, height: tall }))
  const under = (x, y) => places.find(one =>
    x >= one.x && x < one.x + tile + gap && y >= one.y && y < one.y + row)
  return { places, under, height: lines * row - gap }
}
