// @ts-check

const list = `a able about account after again all also always an and another any are as ask at away back be because been before best better
both box brown but by call came can care carton change check clear close cold come customer damaged day deliver delivered delivery did
different do done door down each early either else enough even evening ever every few find first five for friday from front full garden gate
get gift give glass go goods half hand has have he heavy help her here him his home hour house how if in inside instead invoice is it item
just keep key kind large last late later leave left less letter like line little long made make many may me message monday month more morning
most much must my name near need neighbour never new next no none not note nothing now number of off office often old on once one only open or
order other our out outside over own package paid pallet paper part party past people phone place please possible post price put quick
quiet red refund rest return right ring road room same saturday say second send sent separate set she ship shipment shop should side sign
signature since size small so some soon spare special split stairs still stock stop store street such sunday sure take tell than thank that the
their them then there these they thing this those though three through thursday time to today together told tomorrow too top town track truck
tuesday turn two under until up upon urgent us use used very via visit wait want warehouse was water way we wednesday week weekend well went
were what when where whether which while white who why will window with within without wood work would wrap wrong year yes yesterday yet you`;

/** Some 300 common ones. */
export const words = list.split(/\s+/);
