const travels = new WeakMap()

export default function (component) {
  const { data, parentElement } = component
  if (!data) return
  let travel = travels.get(parentElement)
  if (!travel || travel.id !== data.id) {
    travel?.stop()
    travel = begin(data)
    travels.set(parentElement, travel)
  }
  return () => {
    travels.get(parentElement)?.stop()
    travels.delete(parentElement)
  }
}

function begin(data) {
  let canvas = null
  let seen = ""
  const chart = () => document.querySelector(`.st-key-${data.chart} .js-plotly-plot`)
  const over = plot => {
    if (canvas?.parentElement === plot) return canvas
    canvas?.remove()
    canvas = document.createElement("canvas")
    canvas.className = "ddm-traveller"
    canvas.setAttribute("aria-hidden", "true")
    Object.assign(canvas.style, { position: "absolute", left: "0", top: "0", pointerEvents: "none", zIndex: "4" })
    if (getComputedStyle(plot).position === "static") plot.style.position = "relative"
    plot.appendChild(canvas)
    return canvas
  }
  const draw = () => {
    const plot = chart()
    const layout = plot?._fullLayout
    const x = layout?.xaxis, y = layout?.yaxis
    if (!x?._length || !y?._length) return
    const pen = sized(over(plot), plot.clientWidth, plot.clientHeight)
    pen.save()
    pen.beginPath()
    pen.rect(x._offset, y._offset, x._length, y._length)
    pen.clip()
    const at = place => [x._offset + x.l2p(place[0]), y._offset + y.l2p(place[1])]
    // The sample in focus comes last, above the others.
    const order = [...data.dots].sort((a, b) => a.focus - b.focus)
    for (const dot of order) {
      const now = Math.round(bus.fraction() * (dot.places.length - 1))
      const here = at(dot.places[now])
      const pulls = (dot.pulls[now] ?? []).map(at)
      pulls.forEach((there, k) => line(pen, here, there, data.colours[k]))
      pulls.forEach((there, k) => disc(pen, there, 4, data.colours[k], data.paper, 1))
      const colour = dot.expert[now] >= 0 ? data.colours[dot.expert[now]] : data.ink
      disc(pen, here, dot.focus ? 10 : 8, colour, data.ink, dot.focus ? 3 : 1.5)
    }
    pen.restore()
  }
  // Zooming, panning and resizing tell nobody: look whether the axes are where they were.
  const look = () => {
    const plot = chart()
    const layout = plot?._fullLayout
    if (!layout?.xaxis?.range) return
    const { xaxis: x, yaxis: y } = layout
    const state = [plot.clientWidth, plot.clientHeight, x.range, y.range, x._offset, y._offset, x._length, y._length]
    const signature = state.join(" ")
    if (signature === seen && canvas?.parentElement === plot) return
    seen = signature
    draw()
  }
  bus.listeners.add(draw)
  const timer = window.setInterval(look, 80)
  draw()
  return {
    id: data.id,
    stop() {
      window.clearInterval(timer)
      bus.listeners.delete(draw)
      if (bus.listeners.size === 0) bus.told = null
      canvas?.remove()
    },
  }
}

function sized(canvas, width, height) {
  const dense = window.devicePixelRatio || 1
  canvas.width = Math.round(width * dense)
  canvas.height = Math.round(height * dense)
  canvas.style.width = `${width}px`
  canvas.style.height = `${height}px`
  const pen = canvas.getContext("2d")
  pen.setTransform(dense, 0, 0, dense, 0, 0)
  return pen
}

function line(pen, [x0, y0], [x1, y1], colour) {
  pen.strokeStyle = colour
  pen.lineWidth = 1.4
  pen.setLineDash([4, 3])
  pen.beginPath()
  pen.moveTo(x0, y0)
  pen.lineTo(x1, y1)
  pen.stroke()
  pen.setLineDash([])
}

function disc(pen, [x, y], radius, fill, rim, width) {
  pen.beginPath()
  pen.arc(x, y, radius, 0, 7)
  pen.fillStyle = fill
  pen.fill()
  pen.strokeStyle = rim
  pen.lineWidth = width
  pen.stroke()
}
