const states = new WeakMap()

export default function (component) {
  const { data, parentElement, setStateValue } = component
  const root = parentElement.querySelector(".knobs")
  if (!root || !data) return
  let state = states.get(parentElement)
  if (!state) {
    state = build(root)
    states.set(parentElement, state)
  }
  state.tell = asked => setStateValue("asked", asked)
  // What Python says counts only where it says something new: a hand may be on the control.
  if (state.id !== data.id) state.reset(data)
}

function build(root) {
  const temperature = root.querySelector(".temperature")
  const k = root.querySelector(".k")
  const said = name => root.querySelector(`#ddm-${name}-said`)
  const state = { id: null, data: null, tell() {} }
  let told = ""

  const show = () => {
    const { temperatures, experts } = state.data
    const t = temperatures[Number(temperature.value)]
    const many = Number(k.value)
    const words = t === 1 ? "the router's own" : t > 1 ? `${t} times softer` : `${+(1 / t).toFixed(1)} times sharper`
    const mixed = many >= experts ? `all ${experts}` : `${many} of ${experts}`
    said("temperature").textContent = `T = ${t}, ${words}`
    said("k").textContent = mixed
    temperature.setAttribute("aria-valuetext", `${t}, ${words}`)
    k.setAttribute("aria-valuetext", mixed)
    return { temperature: t, k: many }
  }
  const moved = () => {
    const asked = show()
    const text = JSON.stringify(asked)
    if (text === told) return
    told = text
    state.tell(asked)
  }
  temperature.oninput = k.oninput = moved

  const mark = (input, places) => {
    const marks = input.parentElement.querySelector(".marks")
    marks.replaceChildren(...places.map(([share, text]) => {
      const one = document.createElement("span")
      one.style.left = `${100 * share}%`
      one.textContent = text
      return one
    }))
  }
  state.reset = data => {
    state.id = data.id
    state.data = data
    const last = data.temperatures.length - 1
    temperature.max = last
    temperature.value = data.temperatures.indexOf(data.temperature)
    k.max = data.experts
    k.value = data.k
    mark(temperature, [[data.temperatures.indexOf(1) / last, "T = 1"]])
    mark(k, [])
    told = JSON.stringify(show())
  }
  return state
}
