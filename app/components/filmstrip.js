const reels = new WeakMap()

export default function (component) {
  const { data, parentElement } = component
  const root = parentElement.querySelector(".film")
  if (!root || !data) return
  reels.get(parentElement)?.stop()
  reels.set(parentElement, build(root, data))
  return () => {
    reels.get(parentElement)?.stop()
    reels.delete(parentElement)
  }
}

function build(root, data) {
  const names = root.querySelector(".names")
  const canvas = root.querySelector("canvas")
  const bytes = Uint8Array.from(atob(data.weights), c => c.charCodeAt(0))
  const rows = data.rows.length
  const count = data.frames.length
  canvas.setAttribute("aria-label", data.alt)
  names.replaceChildren()
  const labels = data.rows.map(row => {
    const one = document.createElement("div")
    if (row.colour) {
      const dot = document.createElement("i")
      dot.style.background = row.colour
      one.append(dot)
    }
    one.append(document.createTextNode(row.label))
    names.append(one)
    return one
  })
  const image = new Image()
  let layout = { columns: [], tile: 0 }

  // As many columns as fit at a size that can be read, evenly, first and last always.
  const columns = width => {
    const fit = Math.max(2, Math.min(count, Math.floor(width / data.least)))
    return Array.from({ length: fit }, (_, i) => Math.round((i * (count - 1)) / Math.max(1, fit - 1)))
  }
  const draw = () => {
    if (!image.complete || !image.naturalWidth) return
    const width = canvas.parentElement.clientWidth
    const chosen = columns(width)
    const slot = width / chosen.length
    const gap = 3
    const tile = Math.min(slot - gap, 72)
    const tall = tile * data.tile[0] / data.tile[1]
    const row = tall + gap + 2
    const foot = 18
    layout = { columns: chosen, slot }
    const dense = window.devicePixelRatio || 1
    canvas.width = Math.round(width * dense)
    canvas.height = Math.round((rows * row + 8 + foot) * dense)
    canvas.style.height = `${rows * row + 8 + foot}px`
    const pen = canvas.getContext("2d")
    pen.setTransform(dense, 0, 0, dense, 0, 0)
    pen.imageSmoothingEnabled = tile * dense < data.tile[1]
    labels.forEach((label, r) => {
      label.style.height = `${row}px`
      label.style.marginBottom = r === 0 ? "8px" : "0"
    })
    // The column nearest to the cursor.
    const now = chosen.reduce((best, c, i) => (Math.abs(c - bus.step) < Math.abs(chosen[best] - bus.step) ? i : best), 0)
    const ink = getComputedStyle(root).color
    chosen.forEach((frame, c) => {
      const x = c * slot
      for (let r = 0; r < rows; r++) {
        const w = r === 0 ? 1 : bytes[frame * (rows - 1) + r - 1] / 255
        const y = r * row + (r > 0 ? 8 : 0) + 1
        pen.globalAlpha = r === 0 ? 1 : 0.14 + 0.86 * w
        pen.drawImage(image, frame * data.tile[1], r * data.tile[0], data.tile[1], data.tile[0], x + 1, y, tile, tall)
        pen.globalAlpha = 1
        if (r > 0 && w > 0) {
          pen.strokeStyle = data.rows[r].colour
          pen.lineWidth = 2
          pen.strokeRect(x + 1, y, tile, tall)
        }
      }
      if (c === now) {
        pen.strokeStyle = pen.fillStyle = ink
        pen.lineWidth = 1.5
        pen.strokeRect(x - 0.5, 0.75, tile + 3, rows * row + 7)
      }
      pen.fillStyle = ink
      pen.globalAlpha = c === now ? 1 : 0.6
      pen.font = "11px sans-serif"
      pen.textAlign = "center"
      pen.fillText(String(data.frames[frame]), x + tile / 2 + 1, rows * row + 8 + 13)
      pen.globalAlpha = 1
    })
  }
  canvas.onclick = event => {
    const box = canvas.getBoundingClientRect()
    const column = Math.floor((event.clientX - box.left) / layout.slot)
    if (layout.columns[column] !== undefined) bus.set(layout.columns[column])
  }
  image.onload = draw
  image.src = data.sprite
  bus.listeners.add(draw)
  const resized = new ResizeObserver(draw)
  resized.observe(canvas.parentElement)
  return {
    stop() {
      bus.listeners.delete(draw)
      resized.disconnect()
    },
  }
}
