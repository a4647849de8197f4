// One time cursor per page. Whoever moves it tells everyone; charts over time get a line, drawn over
// them so that nothing is plotted again.
const bus = (window.__ddmCursor ??= {
  step: 0,
  steps: 0,
  moved: false,
  told: null,
  tells: {},  // other parts of the view that change without asking; "" takes one out
  listeners: new Set(),
  set(step) {
    this.step = step
    this.moved = true
    for (const listener of this.listeners) listener(step)
    this.mark()
  },
  // A page with other steps goes on at the same share of them.
  adopt(steps, wanted) {
    const last = steps - 1
    const share = this.fraction()
    this.steps = steps
    this.step = this.moved ? Math.round(share * last) : wanted
    return this.step
  },
  // The view is in the URL. Python rewrites the URL without knowing where the cursor is.
  tell() {
    const parts = { ...this.tells, ...(this.told === null ? {} : { step: this.told }) }
    const url = new URL(window.location.href)
    const changed = Object.entries(parts).filter(([name, text]) => (url.searchParams.get(name) ?? "") !== text)
    if (!changed.length) return
    for (const [name, text] of changed) {
      if (text) url.searchParams.set(name, text)
      else url.searchParams.delete(name)
    }
    window.history.replaceState(window.history.state, "", url)
  },
  // Plotly keeps its axes on the element: a step becomes a pixel without asking the server.
  mark() {
    for (const chart of document.querySelectorAll(".js-plotly-plot")) {
      const layout = chart._fullLayout
      const places = chart.layout?.meta?.cursor ?? layout?.meta?.cursor
      if (!layout || !Array.isArray(places) || !places.length) continue
      let n = 0
      for (const key of Object.keys(layout)) {
        if (!/^xaxis\d*$/.test(key)) continue
        const axis = layout[key]
        const other = layout[(axis.anchor || "y").replace(/^y/, "yaxis")]
        if (!axis._offset && axis._offset !== 0) continue
        if (!other) continue
        // One list of places for all panels, or one for each.
        const own = Array.isArray(places[0]) ? places[n % places.length] : places
        const x = own[Math.min(own.length - 1, Math.round(this.fraction() * (own.length - 1)))]
        const line = this.line(chart, n++)
        // Pixels of a value of the data: logarithmic axes too.
        const left = axis._offset + axis.d2p(x)
        const inside = left >= axis._offset - 1 && left <= axis._offset + axis._length + 1
        line.style.display = inside ? "block" : "none"
        line.style.transform = `translate(${left}px, ${other._offset}px)`
        line.style.height = `${other._length}px`
      }
      for (const extra of [...chart.querySelectorAll(":scope > .ddm-cursor")].slice(n)) extra.remove()
    }
  },
  line(chart, n) {
    const there = chart.querySelectorAll(":scope > .ddm-cursor")[n]
    if (there) return there
    const line = document.createElement("div")
    line.className = "ddm-cursor"
    Object.assign(line.style, {
      position: "absolute", top: "0", left: "-0.75px", width: "1.5px", pointerEvents: "none",
      background: "currentColor", zIndex: "5", opacity: "0.8",
      // A rim in the page's own colour: seen on dark cells of a heatmap as on an empty chart.
      boxShadow: "0 0 0 1px color-mix(in srgb, var(--ddm-page, transparent) 60%, transparent)",
    })
    if (getComputedStyle(chart).position === "static") chart.style.position = "relative"
    chart.appendChild(line)
    return line
  },
  fraction() {
    return this.steps > 1 ? this.step / (this.steps - 1) : 0
  },
})
if (!bus.timer) {
  // Charts lie outside of the components that know the theme: the page says what its colour is.
  const dye = () => {
    const page = document.querySelector('[data-testid="stApp"]')
    if (page) document.documentElement.style.setProperty("--ddm-page", getComputedStyle(page).backgroundColor)
  }
  // Charts appear and resize whenever Streamlit likes: look now and then, it costs microseconds.
  bus.timer = window.setInterval(() => {
    if (!bus.listeners.size) return
    dye()
    bus.mark()
    bus.tell()
  }, 400)
}
