// Figures of Plotly, drawn into the same element again and again. One at a time for the whole page:
// what is in the window first, the rest after it, with a breath between for the browser to answer.
const queue = (window.__ddmCharts ??= {
  waiting: new Set(),
  busy: false,
  library: null,
  ask(chart) {
    this.waiting.add(chart)
    if (!this.busy) this.work()
  },
  async work() {
    this.busy = true
    try {
      while (this.waiting.size) {
        const Plotly = await this.load()
        // All that have arrived by now: the nearest may be the last of them.
        await new Promise(done => setTimeout(done))
        const [chart] = [...this.waiting].sort((one, other) => one.away() - other.away())
        // The page may have put the last of them away.
        if (!chart) break
        this.waiting.delete(chart)
        await chart.draw(Plotly).catch(error => {
          chart.excuse(error)
          setTimeout(() => { throw error })  // a fault of ours, for whoever looks for it
        })
      }
    } catch (error) {
      for (const chart of this.waiting) chart.excuse(error)
      this.waiting.clear()
    } finally {
      this.busy = false
    }
  },
  // The script that Plotly's Python package brings, once for all pages.
  load() {
    return (this.library ??= new Promise((done, failed) => {
      const own = document.querySelector('script[src*="static/js/"]').src
      const script = document.createElement("script")
      script.src = own.slice(0, own.lastIndexOf("static/js/")) + "plotly/plotly.min.js"
      script.onload = () => done(window.Plotly)
      script.onerror = () => {
        this.library = null
        script.remove()
        failed(new Error("Figures cannot be drawn: the server does not give Plotly; is it ddm dashboard?"))
      }
      document.head.append(script)
    }))
  },
})

const WIDE = {
  name: "Fullscreen",
  title: "Fullscreen",
  icon: { width: 16, height: 16, path: "M0 0H6V2H2V6H0ZM10 0H16V6H14V2H10ZM0 10H2V14H6V16H0ZM14 10H16V16H10V14H14Z" },
  click: graph => (document.fullscreenElement ? document.exitFullscreen() : graph.requestFullscreen()),
}

const charts = new WeakMap()

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".chart")
  if (!root || !data) return
  let one = charts.get(root)
  if (!one) charts.set(root, (one = build(root)))
  one.tell = setTriggerValue
  one.show(data)
  return () => {
    charts.get(root)?.stop()
    charts.delete(root)
  }
}

function build(root) {
  const one = { data: null, spec: "", figure: null, drawn: null, tell() {} }
  const size = () => ({
    width: root.clientWidth,
    height: document.fullscreenElement === root ? window.innerHeight : one.figure.layout.height,
  })
  // Pixels from here to the window: 0 inside it.
  one.away = () => {
    const box = root.getBoundingClientRect()
    return Math.max(0, box.top - window.innerHeight, -box.bottom)
  }
  one.show = data => {
    root.setAttribute("aria-label", data.alt)
    one.tells = data.tells
    if (one.spec === data.spec) return
    one.spec = data.spec
    one.bar = data.bar
    one.figure = JSON.parse(data.spec)
    // Its room is there before it is drawn: nothing below it moves.
    root.style.height = `${one.figure.layout.height}px`
    one.drawn = null
    queue.ask(one)
  }
  one.excuse = error => {
    if (!one.heard) root.textContent = error.message
  }
  one.draw = async Plotly => {
    if (!root.isConnected || !root.clientWidth) return
    one.drawn = size()
    const layout = { ...one.figure.layout, ...one.drawn }
    const config = {
      displaylogo: false,
      displayModeBar: one.bar ? "hover" : false,
      modeBarButtonsToRemove: one.tells.includes("lasso") ? ["autoScale2d"] : ["lasso2d", "select2d", "autoScale2d"],
      modeBarButtonsToAdd: [WIDE],
    }
    await Plotly.react(root, one.figure.data, layout, config)
    root.dataset.drawn = "true"
    window.__ddmCursor?.mark()
    if (one.heard) return
    one.heard = true
    const names = points => points
      .map(point => point.customdata)
      .filter(said => said != null)
      .map(said => String(Array.isArray(said) ? said[0] : said))
    root.on("plotly_click", event => {
      const [name] = names(event.points)
      if (one.tells.includes("pick") && name) one.tell("pick", name)
    })
    root.on("plotly_selected", event => {
      // What is drawn again keeps no outline: the figure itself shows who was chosen.
      const some = names(event?.points ?? [])
      if (one.tells.includes("lasso") && some.length) one.tell("lasso", some)
    })
  }
  const watch = new ResizeObserver(() => {
    if (!one.figure) return
    const now = size()
    if (now.width && (now.width !== one.drawn?.width || now.height !== one.drawn?.height)) queue.ask(one)
  })
  watch.observe(root)
  one.stop = () => {
    watch.disconnect()
    queue.waiting.delete(one)
    if (one.heard) window.Plotly.purge(root)
  }
  return one
}
