// Two runs on the same seeds in one picture: a wipe, a blink, or the difference of their pixels.
const MODES = [["", "side by side"], ["ab", "A | B"], ["blink", "blink"], ["difference", "difference"]]

function pairing(root, data, sources, state) {
  const find = name => root.querySelector(name)
  const bar = find(".modes"), stage = find(".stage"), pair = find(".pair")
  const grid = find(".grid"), large = find(".large"), legend = find(".legend")
  const [who, wiping, blinking, ordering] = [".who", ".wiping", ".blinking", ".ordering"].map(find)
  const wipe = find(".wipe"), rate = find(".rate"), swap = find(".swap")
  const letters = data.runs.map(run => run.letter)
  const run = letter => data.runs[letters.indexOf(letter)]
  const images = Boolean(data.tile)
  let timer = 0
  let showsB = false
  let mixed = null
  state.mode = MODES.some(([name]) => name === data.mode) ? data.mode : ""
  const asked = (data.pair || "").split(",")
  state.pair = asked.length === 2 && asked[0] !== asked[1] && asked.every(one => letters.includes(one))
    ? asked : letters.slice(0, 2)

  const several = data.runs.length > 1
  bar.hidden = !several
  pair.dataset.lens = images ? "yes" : "no"
  if (!several) state.mode = ""

  // Controls.
  const segments = find(".segments")
  segments.replaceChildren(...MODES.map(([name, words]) => {
    const label = element("label", "", words)
    const radio = element("input")
    Object.assign(radio, { type: "radio", name: "mode", value: name, checked: name === state.mode })
    radio.onchange = () => { state.mode = name; arrange() }
    label.prepend(radio)
    return label
  }))
  const selects = [find(".first"), find(".second")]
  selects.forEach((select, place) => {
    select.replaceChildren(...data.runs.map(one => {
      const option = element("option", "", `${one.letter}  ${one.label}`)
      option.value = one.letter
      return option
    }))
    select.onchange = () => {
      // Never a run with itself: the other side takes what this one had.
      const other = 1 - place
      if (state.pair[other] === select.value) state.pair[other] = state.pair[place]
      state.pair[place] = select.value
      state.tellPair(state.pair.join(","))
      arrange()
    }
  })
  wipe.oninput = () => state.draw()
  swap.onclick = () => { showsB = !showsB; tick(); state.draw() }
  // Who wants no motion changes the images by hand.
  const still = window.matchMedia("(prefers-reduced-motion: reduce)")
  const calm = () => { rate.value = still.matches ? "0" : "1"; tick() }
  still.addEventListener("change", calm)
  rate.onchange = () => tick()
  const tick = () => {
    clearInterval(timer)
    timer = 0
    if (state.mode !== "blink" || Number(rate.value) === 0) return
    timer = setInterval(() => { showsB = !showsB; state.draw() }, 1000 / Number(rate.value))
  }
  calm()

  const heads = () => {
    const [a, b] = state.pair.map(run)
    const parts = []
    for (const [one, on] of [[a, !showsB], [b, showsB]]) {
      const letter = element("span", "letter", one.letter)
      letter.style.background = one.colour
      const label = element("span", "label", one.label)
      if (state.mode === "blink" && !on) { letter.classList.add("off"); label.classList.add("off") }
      parts.push(letter, label)
    }
    const between = { ab: "left, right of the line:", blink: "in turn:", difference: "difference of" }
    return [element("span", "versus", between[state.mode] ?? ""), ...parts]
  }

  const arrange = () => {
    const on = state.mode !== ""
    stage.hidden = on
    pair.hidden = !on
    who.hidden = !on && !state.parts
    selects.forEach((select, place) => (select.value = state.pair[place]))
    wiping.hidden = state.mode !== "ab"
    blinking.hidden = state.mode !== "blink"
    ordering.hidden = !state.parts || !images
    find(".lens").hidden = !images
    legend.hidden = state.mode !== "difference"
    large.classList.toggle("wipes", state.mode === "ab")
    root.dataset.mode = state.mode
    root.dataset.pair = state.pair.join(",")
    if (several) {
      bus.tells.mode = state.mode
      if (on || state.parts) bus.tells.pair = state.pair.join(",")
    }
    if (state.mode === "difference") scale()
    showsB = false
    tick()
    state.draw()
  }

  const scale = () => {
    const colours = decode(data.difference.colours, Uint8Array)
    const canvas = find(".scale")
    const count = colours.length / 3
    canvas.width = count
    canvas.height = 1
    const pen = canvas.getContext("2d")
    const line = pen.createImageData(count, 1)
    for (let i = 0; i < count; i++) line.data.set([colours[3 * i], colours[3 * i + 1], colours[3 * i + 2], 255], 4 * i)
    pen.putImageData(line, 0, 0)
    canvas.hidden = !images
    const named = text => text.replaceAll("{a}", state.pair[0]).replaceAll("{b}", state.pair[1])
    canvas.setAttribute("aria-label", named(data.difference.says))
    const ends = images ? data.difference.ends : ["", "", ""]
    find(".ends").querySelectorAll("span").forEach((span, i) => (span.textContent = named(ends[i])))
    find(".says").textContent = named(data.difference.says)
  }

  // B - A of every pixel, through the colour scale; a colour image by its channel that differs most.
  const difference = step => {
    const [a, b] = state.pair.map(letter => sources[letters.indexOf(letter)].pixels(step))
    const [tall, wide] = data.tile
    const width = data.seeds.length * wide
    mixed ??= Object.assign(document.createElement("canvas"), { width, height: tall })
    const pen = mixed.getContext("2d")
    const out = pen.createImageData(width, tall)
    const colours = decode(data.difference.colours, Uint8Array)
    for (let p = 0; p < a.length; p += 4) {
      const at = 3 * (data.difference.signed
        ? 255 + b[p] - a[p]
        : Math.max(Math.abs(b[p] - a[p]), Math.abs(b[p + 1] - a[p + 1]), Math.abs(b[p + 2] - a[p + 2])))
      out.data[p] = colours[at]
      out.data[p + 1] = colours[at + 1]
      out.data[p + 2] = colours[at + 2]
      out.data[p + 3] = 255
    }
    pen.putImageData(out, 0, 0)
    return mixed
  }

  const share = () => Number(wipe.value) / 100
  const tiles = (canvas, pen, step, places) => {
    const [first, second] = state.pair.map(letter => sources[letters.indexOf(letter)])
    const [tall, wide] = data.tile
    pen.imageSmoothingEnabled = places[0].width * (window.devicePixelRatio || 1) < wide
    if (state.mode === "difference") {
      for (const { i, x, y, width, height } of places) {
        pen.drawImage(mixed, i * wide, 0, wide, tall, x, y, width, height)
      }
      return
    }
    const below = state.mode === "blink" && showsB ? second : first
    for (const { i, x, y, width, height } of places) below.draw(pen, step, i, x, y, width, height)
    if (state.mode !== "ab") return
    pen.save()
    pen.beginPath()
    for (const { x, y, width, height } of places) pen.rect(x + width * share(), y, width * (1 - share()), height)
    pen.clip()
    for (const { i, x, y, width, height } of places) second.draw(pen, step, i, x, y, width, height)
    pen.restore()
    pen.fillStyle = data.accent
    for (const { x, y, width, height } of places) pen.fillRect(x + width * share() - 0.75, y, 1.5, height)
  }

  // Whose side is whose, in the corners of the large picture.
  const corners = (pen, width, height) => {
    pen.font = "700 12px sans-serif"
    pen.textAlign = "center"
    state.pair.map(run).forEach((one, side) => {
      const left = side === 0 ? 8 : width - 30
      pen.fillStyle = one.colour
      pen.fillRect(left, height - 30, 22, 22)
      pen.fillStyle = data.paper
      pen.fillText(one.letter, left + 11, height - 14.5)
    })
  }

  const pictures = (step, focus) => {
    if (state.mode === "difference") difference(step)
    const wide = Math.max(80, grid.clientWidth)
    const lay = tiled(data, wide, 0, state.order())
    const [pen] = fitted(grid, lay.height / wide)
    tiles(grid, pen, step, lay.places)
    state.badges(pen, step, lay.places)
    const shown = data.seeds.includes(focus) ? focus : data.seeds[state.order()[0]]
    const framed = lay.places.find(one => data.seeds[one.i] === shown)
    pen.strokeStyle = data.accent
    pen.lineWidth = 2.5
    pen.strokeRect(framed.x + 1.25, framed.y + 1.25, framed.width - 2.5, framed.height - 2.5)
    const [close, width, height] = fitted(large, data.tile[0] / data.tile[1])
    tiles(large, close, step, [{ i: framed.i, x: 0, y: 0, width, height }])
    if (state.mode === "ab") corners(close, width, height)
    find(".lens .head").textContent = `sample ${shown}`
    grid.onclick = event => {
      const hit = lay.under(event.offsetX, event.offsetY)
      if (hit) state.choose(data.seeds[hit.i])
    }
    return framed.i
  }

  const pointed = (step, focus) => {
    const [first, second] = state.pair.map(letter => sources[letters.indexOf(letter)])
    const [a, b] = state.pair.map(run)
    const [pen, width] = fitted(grid, 1)
    const ink = getComputedStyle(grid).color
    rings(pen, width, data)
    if (state.mode === "difference") {
      const { at } = plane(data)
      data.seeds.forEach((seed, i) => {
        const [x0, y0] = at(width, ...first.place(step, i))
        const [x1, y1] = at(width, ...second.place(step, i))
        pen.lineWidth = seed === focus ? 3 : 1.2
        pen.strokeStyle = ink
        pen.globalAlpha = 0.6
        pen.beginPath()
        pen.moveTo(x0, y0)
        pen.lineTo(x1, y1)
        pen.stroke()
        pen.globalAlpha = 1
        for (const [x, y, colour] of [[x0, y0, a.colour], [x1, y1, b.colour]]) {
          pen.fillStyle = colour
          pen.beginPath()
          pen.arc(x, y, seed === focus ? 6 : 3, 0, 7)
          pen.fill()
        }
      })
    } else if (state.mode === "blink") {
      swarm(pen, width, data, showsB ? second : first, step, focus, ink)
    } else {
      for (const [one, from, to] of [[first, 0, share()], [second, share(), 1]]) {
        pen.save()
        pen.beginPath()
        pen.rect(from * width, 0, (to - from) * width, width)
        pen.clip()
        swarm(pen, width, data, one, step, focus, ink)
        pen.restore()
      }
      pen.fillStyle = data.accent
      pen.fillRect(share() * width - 0.75, 0, 1.5, width)
    }
    grid.onclick = event => {
      const hit = nearest(width, data, [first, second], step, event.offsetX, event.offsetY)
      if (hit >= 0) state.choose(data.seeds[hit])
    }
  }

  // The large picture: drag the line, or read the pixel under the pointer.
  let shownTile = 0
  const note = find(".lens .note")
  const point = event => {
    const across = event.offsetX / large.clientWidth
    const down = event.offsetY / large.clientHeight
    if (state.mode === "ab" && event.buttons) {
      wipe.value = String(Math.round(100 * Math.max(0, Math.min(1, across))))
      state.draw()
    }
    const [tall, wide] = data.tile
    const column = Math.floor(across * wide), row = Math.floor(down * tall)
    if (column < 0 || row < 0 || column >= wide || row >= tall) return
    const at = 4 * (row * data.seeds.length * wide + shownTile * wide + column)
    const [a, b] = state.pair.map(letter => {
      const pixels = sources[letters.indexOf(letter)].pixels(state.step)
      return data.difference.signed ? [pixels[at]] : [...pixels.slice(at, at + 3)]
    })
    const [first, second] = state.pair
    note.textContent = `row ${row}, column ${column}: ${first} ${a.join(" ")}, ${second} ${b.join(" ")}, `
      + `${second} − ${first} ${b.map((v, c) => v - a[c]).join(" ")}`
  }
  large.onpointermove = images ? point : null
  large.onpointerdown = images ? event => { large.setPointerCapture(event.pointerId); point(event) } : null
  large.onpointerleave = () => (note.textContent = "")

  return {
    arrange,
    draw(step, focus) {
      if (!sources.every(one => one.ready)) return
      find(".both .head").replaceChildren(...heads())
      find(".now").textContent = state.pair[showsB ? 1 : 0]
      root.dataset.shows = state.mode === "blink" ? state.pair[showsB ? 1 : 0] : ""
      if (images) shownTile = pictures(step, focus)
      else pointed(step, focus)
      grid.setAttribute("aria-label", `${data.seeds.length} samples, ${state.pair.join(" and ")}: `
        + MODES.find(([name]) => name === state.mode)[1])
      large.setAttribute("aria-label", `${find(".lens .head").textContent}, enlarged`)
    },
    stop() {
      clearInterval(timer)
      still.removeEventListener("change", calm)
      for (const name of ["mode", "pair", "sorted"]) delete bus.tells[name]
    },
  }
}
