// Finished samples as buttons: a click puts one in focus.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".picks")
  if (!root || !data) return
  const size = 40
  root.replaceChildren(...data.seeds.map((seed, i) => {
    const one = document.createElement("button")
    one.type = "button"
    one.title = `sample ${seed}`
    one.setAttribute("aria-label", `sample ${seed}`)
    one.setAttribute("aria-pressed", String(seed === data.focus))
    Object.assign(one.style, {
      width: `${size}px`, height: `${size * data.shape}px`,
      backgroundImage: `url(${data.sprite})`,
      backgroundSize: `${size * data.seeds.length}px 100%`,
      backgroundPosition: `-${i * size}px 0`,
    })
    one.onclick = () => setTriggerValue("sample", seed)
    return one
  }))
}
