// Samples that are points in a plane: where they are, and the way they came.
function plane(data) {
  const [left, right, bottom, top] = data.box
  const size = width => (width - 16) / Math.max(right - left, top - bottom)
  const at = (width, x, y) => [
    width / 2 + (x - (left + right) / 2) * size(width),
    width / 2 - (y - (bottom + top) / 2) * size(width)]
  return { size, at }
}

function cloud(run, data) {
  const where = decode(run.points, Float32Array)
  const leader = decode(run.leader, Int16Array)
  const count = data.seeds.length
  return {
    ready: true,
    place: (step, i) => [where[2 * (step * count + i)], where[2 * (step * count + i) + 1]],
    leads: (step, i) => leader[step * count + i],
  }
}

function rings(pen, width, data) {
  const { size, at } = plane(data)
  for (const [k, centre] of data.centres.entries()) {
    const [x, y] = at(width, centre[0], centre[1])
    pen.strokeStyle = data.colours[k]
    pen.globalAlpha = 0.5
    pen.lineWidth = 1.5
    pen.beginPath()
    pen.arc(x, y, Math.max(6, 2 * data.spread * size(width)), 0, 7)
    pen.stroke()
  }
  pen.globalAlpha = 1
}

function swarm(pen, width, data, one, step, focus, ink) {
  const { at } = plane(data)
  data.seeds.forEach((seed, i) => {
    const mine = seed === focus
    const chosen = data.marked?.has(seed)
    if (data.alone && !chosen && !mine) return
    const k = one.leads(step, i)
    pen.fillStyle = pen.strokeStyle = k >= 0 ? data.colours[k] : ink
    pen.globalAlpha = mine ? 0.9 : 0.28
    pen.lineWidth = mine ? 2 : 1
    pen.beginPath()
    for (let s = mine ? 0 : Math.max(0, step - 5); s <= step; s++) pen.lineTo(...at(width, ...one.place(s, i)))
    pen.stroke()
    pen.globalAlpha = 0.9
    pen.beginPath()
    pen.arc(...at(width, ...one.place(step, i)), mine ? 6 : 2.8, 0, 7)
    pen.fill()
    if (mine || chosen) { pen.strokeStyle = mine ? ink : data.mark; pen.lineWidth = 2; pen.stroke() }
  })
  pen.globalAlpha = 1
}

function nearest(width, data, clouds, step, x, y) {
  const { at } = plane(data)
  let best = -1
  let near = 24 ** 2
  for (const one of clouds) {
    data.seeds.forEach((_, i) => {
      const [px, py] = at(width, ...one.place(step, i))
      const d = (x - px) ** 2 + (y - py) ** 2
      if (d < near) { near = d; best = i }
    })
  }
  return best
}
