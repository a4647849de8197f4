const reels = new WeakMap()
// Widths of a tile in pixels; 0 shows as many columns as fit, the others every frame.
const SIZES = [0, 56, 80, 112, 160]

export default function (component) {
  const { data, parentElement } = component
  const root = parentElement.querySelector(".film")
  if (!root || !data) return
  const before = reels.get(parentElement)
  if (before?.id !== data.id) {
    before?.stop()
    reels.set(parentElement, build(root, data, before?.zoom() ?? 0))
  }
  return () => {
    reels.get(parentElement)?.stop()
    reels.delete(parentElement)
  }
}

function build(root, data, wanted) {
  const find = name => root.querySelector(name)
  const names = find(".names"), reel = find(".reel"), track = find(".track")
  const canvas = track.querySelector("canvas"), glass = find(".glass")
  const GAP = 3, HEAD = data.strips.length > 1 ? 24 : 0, BETWEEN = 18, FOOT = 18
  const count = data.frames.length
  const [tileTall, tileWide] = data.tile
  let zoom = Math.min(wanted, SIZES.length - 1)
  let lay = null
  let picked = -1  // the row that the keyboard enlarges
  let hovered = null
  const strips = data.strips.map(strip => {
    const image = new Image()
    image.onload = () => draw()
    image.src = strip.sprite
    return { ...strip, image, bytes: decode(strip.weights, Uint8Array), experts: strip.rows.length - 1 }
  })
  canvas.setAttribute("aria-label", data.strips.map(strip => strip.alt).join("; "))

  // As many columns as fit at a size that can be read, evenly, first and last always.
  const fitting = width => {
    const fit = Math.max(2, Math.min(count, Math.floor(width / data.least)))
    return [...new Set(Array.from({ length: fit }, (_, i) => Math.round((i * (count - 1)) / Math.max(1, fit - 1))))]
  }
  const measure = () => {
    const view = reel.clientWidth
    const columns = SIZES[zoom] ? data.frames.map((_, i) => i) : fitting(view)
    const slot = SIZES[zoom] ? SIZES[zoom] + GAP : view / columns.length
    const tile = SIZES[zoom] || Math.min(slot - GAP, 72)
    const tall = tile * tileTall / tileWide
    const rows = []
    let y = 0
    strips.forEach((strip, s) => {
      if (s > 0) y += BETWEEN
      y += HEAD
      strip.rows.forEach((row, r) => {
        rows.push({ strip, s, r, row, y: y + 1 })
        y += tall + GAP + 2 + (r === 0 ? 8 : 0)
      })
    })
    return { view, columns, slot, tile, tall, rows, height: y + FOOT }
  }
  const weight = ({ strip, r }, frame) => (r === 0 ? 1 : strip.bytes[frame * strip.experts + r - 1] / 255)
  const current = columns => columns.reduce(
    (best, c, i) => (Math.abs(c - bus.step) < Math.abs(columns[best] - bus.step) ? i : best), 0)

  const label = () => {
    names.replaceChildren()
    lay.rows.forEach((one, place) => {
      const said = element("div")
      if (one.row.colour) {
        const dot = element("i")
        dot.style.background = one.row.colour
        said.append(dot)
      }
      said.append(document.createTextNode(one.row.label))
      const next = lay.rows[place + 1]?.y ?? lay.height - FOOT
      said.style.height = `${lay.tall}px`
      said.style.marginTop = `${place === 0 ? one.y : 0}px`
      said.style.marginBottom = `${next - one.y - lay.tall}px`
      names.append(said)
    })
  }

  let labelled = ""
  const draw = () => {
    if (!strips.every(strip => strip.image.complete && strip.image.naturalWidth)) return
    lay = measure()
    if (!lay.view) return
    const shape = `${lay.tall} ${lay.height}`
    if (shape !== labelled) { labelled = shape; label() }
    track.style.width = SIZES[zoom] ? `${lay.slot * lay.columns.length}px` : "100%"
    canvas.style.width = `${lay.view}px`
    const [pen] = fitted(canvas, lay.height / lay.view)
    pen.imageSmoothingEnabled = lay.tile * (window.devicePixelRatio || 1) < tileWide
    const ink = getComputedStyle(root).color
    const first = Math.max(0, Math.floor(reel.scrollLeft / lay.slot))
    const last = Math.min(lay.columns.length, Math.ceil((reel.scrollLeft + lay.view) / lay.slot))
    pen.font = "600 13px sans-serif"
    pen.textAlign = "left"
    pen.fillStyle = ink
    if (HEAD) {
      for (const { strip, s, r, y } of lay.rows) {
        if (r === 0) pen.fillText(`${s === 0 ? "this run" : "below"}: ${strip.label}`, 1, y - 9)
      }
    }
    pen.save()
    pen.translate(-reel.scrollLeft, 0)
    for (let c = first; c < last; c++) {
      const frame = lay.columns[c]
      const x = c * lay.slot
      for (const one of lay.rows) {
        const w = weight(one, frame)
        pen.globalAlpha = one.r === 0 ? 1 : 0.14 + 0.86 * w
        pen.drawImage(
          one.strip.image, frame * tileWide, one.r * tileTall, tileWide, tileTall,
          x + 1, one.y, lay.tile, lay.tall)
        pen.globalAlpha = 1
        if (one.r > 0 && w > 0) {
          pen.strokeStyle = one.row.colour
          pen.lineWidth = 2
          pen.strokeRect(x + 1, one.y, lay.tile, lay.tall)
        }
      }
      pen.fillStyle = ink
      pen.globalAlpha = 0.7
      pen.font = "11px sans-serif"
      pen.textAlign = "center"
      pen.fillText(String(data.frames[frame]), x + lay.tile / 2 + 1, lay.height - 4)
      pen.globalAlpha = 1
    }
    pen.restore()
    Object.assign(root.dataset, { zoom, columns: lay.columns.length, first })
    find(".size").textContent = SIZES[zoom] ? `${SIZES[zoom]} px` : "fit"
    find(".out").disabled = zoom === 0
    find(".in").disabled = zoom === SIZES.length - 1
    mark()
  }

  // The cursor frames a column of each strip. It lies above the pictures: they are not drawn again.
  const frames = strips.map(() => element("div", "frame"))
  const number = element("div", "number")
  track.querySelectorAll(".frame, .number").forEach(one => one.remove())
  track.append(...frames, number)
  const mark = () => {
    if (!lay) return
    const now = current(lay.columns)
    const x = now * lay.slot
    frames.forEach((frame, s) => {
      const own = lay.rows.filter(one => one.s === s)
      const top = own[0].y - 2
      frame.style.width = `${lay.tile + 4}px`
      frame.style.height = `${own[own.length - 1].y + lay.tall + 2 - top}px`
      frame.style.transform = `translate(${x - 1}px, ${top}px)`
    })
    number.style.width = `${lay.tile + 2}px`
    number.style.transform = `translate(${x}px, ${lay.height - FOOT + 2}px)`
    number.textContent = String(data.frames[lay.columns[now]])
    root.dataset.now = String(lay.columns[now])
    enlarge()
  }

  // The tile under the pointer, or the one that the keyboard picked, with its numbers.
  const enlarge = () => {
    const target = hovered ?? (picked >= 0 && lay ? { row: lay.rows[picked], column: current(lay.columns) } : null)
    glass.hidden = !target?.row
    root.dataset.glass = ""
    if (glass.hidden) return
    const { row, column } = target
    const frame = lay.columns[column]
    const close = glass.querySelector("canvas")
    const scale = Math.max(4, Math.round(168 / tileWide))
    close.width = tileWide
    close.height = tileTall
    close.style.width = `${tileWide * scale}px`
    close.getContext("2d").drawImage(
      row.strip.image, frame * tileWide, row.r * tileTall, tileWide, tileTall, 0, 0, tileWide, tileTall)
    const words = [`${row.row.label}, step ${row.strip.frames[frame]}`, `t = ${row.strip.t[frame].toFixed(3)}`]
    if (row.r > 0) words.push(`weight ${weight(row, frame).toFixed(2)}`)
    const text = (HEAD ? `${row.strip.label}\n` : "") + `${words[0]}\n${words.slice(1).join(", ")}`
    find(".numbers").textContent = text
    close.setAttribute("aria-label", text)
    root.dataset.glass = `${row.s} ${row.row.label} ${row.strip.frames[frame]}`
    // Beside the tile, on the side that has room.
    const left = reel.offsetLeft + column * lay.slot - reel.scrollLeft
    const wide = glass.offsetWidth
    const beside = left + lay.tile + 12
    glass.style.left = `${beside + wide <= root.clientWidth ? beside : Math.max(0, left - wide - 10)}px`
    const down = reel.offsetTop + row.y + lay.tall / 2 - glass.offsetHeight / 2
    glass.style.top = `${Math.max(0, Math.min(root.clientHeight - glass.offsetHeight, down))}px`
  }
  const under = event => {
    if (!lay) return null
    const column = Math.floor((event.offsetX + reel.scrollLeft) / lay.slot)
    const row = lay.rows.find(one => event.offsetY >= one.y && event.offsetY < one.y + lay.tall)
    return lay.columns[column] === undefined ? null : { row, column }
  }

  // Where the pointer or the cursor is stays where it is.
  const resize = (to, at = null) => {
    const next = Math.max(0, Math.min(SIZES.length - 1, to))
    if (next === zoom) return
    const anchor = at ?? current(lay.columns)
    const frame = lay.columns[anchor]
    const from = anchor * lay.slot - reel.scrollLeft
    zoom = next
    hovered = null
    draw()
    const column = lay.columns.reduce(
      (best, c, i) => (Math.abs(c - frame) < Math.abs(lay.columns[best] - frame) ? i : best), 0)
    reel.scrollLeft = Math.max(0, column * lay.slot - from)
    draw()
  }
  const moved = () => {
    mark()
    if (!SIZES[zoom] || !lay) return
    const left = current(lay.columns) * lay.slot
    if (left < reel.scrollLeft) reel.scrollLeft = left
    else if (left + lay.slot > reel.scrollLeft + lay.view) reel.scrollLeft = left + lay.slot - lay.view
  }
  find(".save").onclick = () => {
    if (!lay) return
    const margin = names.offsetWidth + 10
    save(`${data.name}-step-${data.frames[lay.columns[current(lay.columns)]]}`, root, [{ canvas }], margin, pen => {
      pen.font = "13px sans-serif"
      pen.textBaseline = "middle"
      for (const { row, y } of lay.rows) {
        const middle = y + lay.tall / 2
        pen.fillStyle = row.colour || getComputedStyle(root).color
        if (row.colour) pen.fillRect(0, middle - 5, 10, 10)
        pen.fillStyle = getComputedStyle(root).color
        pen.fillText(row.label, row.colour ? 17 : 0, middle)
      }
    })
  }
  find(".in").onclick = () => resize(zoom + 1)
  find(".out").onclick = () => resize(zoom - 1)
  const wheel = event => {
    if (!event.ctrlKey && !event.metaKey) return
    event.preventDefault()
    resize(zoom + (event.deltaY < 0 ? 1 : -1), under(event)?.column ?? null)
  }
  canvas.addEventListener("wheel", wheel, { passive: false })
  canvas.onclick = event => {
    const hit = under(event)
    if (hit) bus.set(lay.columns[hit.column])
  }
  canvas.onpointermove = event => {
    const hit = under(event)
    hovered = hit?.row ? hit : null
    enlarge()
  }
  canvas.onpointerleave = () => { hovered = null; enlarge() }
  reel.onscroll = () => { hovered = null; draw() }
  reel.onkeydown = event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key === "+" || event.key === "=") resize(zoom + 1)
    else if (event.key === "-") resize(zoom - 1)
    else if (event.key === "ArrowDown") picked = Math.min(lay.rows.length - 1, picked + 1)
    else if (event.key === "ArrowUp") picked = Math.max(-1, picked - 1)
    else if (event.key === "Escape") picked = -1
    else return
    event.preventDefault()
    enlarge()
  }
  reel.onblur = () => { picked = -1; enlarge() }
  bus.listeners.add(moved)
  const resized = new ResizeObserver(draw)
  resized.observe(reel)
  return {
    id: data.id,
    zoom: () => zoom,
    stop() {
      bus.listeners.delete(moved)
      canvas.removeEventListener("wheel", wheel)
      resized.disconnect()
    },
  }
}
